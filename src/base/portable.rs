//! Functions of a real that give the same bits on every machine.
//!
//! `+ - * /` and `sqrt` are exact to the last bit by IEEE 754, and Rust neither reorders nor fuses them.
//! `f64::exp`, `ln`, `hypot` and their like are the C library's: they differ in the last bit between libraries,
//! and with glibc between processors. Where cameras must come to the same numbers (`swarm`), and where a
//! run must be the same everywhere (`simulate`), only these are used; `tests/imports.rs` holds that.

/// e to the power of `x`.
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// The natural logarithm.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// Sine and cosine of an angle in radians.
pub fn sin_cos(x: f64) -> (f64, f64) {
    libm::sincos(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_those_of_every_other_machine() {
        let bits =
            [exp(-0.7), exp(3.3), ln(0.05), ln(123.456), sin_cos(1.1).0, sin_cos(1.1).1].map(f64::to_bits);
        // As they came out on x86-64. A machine that gives others gives other digests of a simulation too.
        let expected = [
            4_602_617_305_474_356_546,
            4_628_324_747_090_885_499,
            13_837_300_245_030_232_977,
            4_617_108_222_694_531_938,
            4_606_202_501_814_641_464,
            4_601_842_881_211_621_649,
        ];
        assert_eq!(bits, expected);
    }
}
