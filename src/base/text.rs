//! Text files as other programs write them: with a byte order mark, or in UTF-16.
//!
//! A UTF-8 mark is skipped. UTF-16 is refused with the remedy: nothing here guesses an encoding.

use std::fs;
use std::io::{self, BufRead};
use std::path::Path;

/// The mark of UTF-8, which editors of Windows put in front of a text.
const UTF8: &[u8] = b"\xef\xbb\xbf";
/// The marks of UTF-16.
const UTF16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// The bytes of a text without a byte order mark. The error is for UTF-16.
pub fn without_mark(bytes: &[u8]) -> io::Result<&[u8]> {
    if UTF16.iter().any(|mark| bytes.starts_with(mark)) {
        let reason = "the text is UTF-16: save it as UTF-8";
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(bytes.strip_prefix(UTF8).unwrap_or(bytes))
}

/// Skips a byte order mark at the beginning of a text. The error is for UTF-16, or of reading.
pub fn skip_mark(input: &mut impl BufRead) -> io::Result<()> {
    let begin = input.fill_buf()?;
    let mark = begin.len() - without_mark(begin)?.len();
    input.consume(mark);
    Ok(())
}

/// The text of a file, without a byte order mark.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = fs::read(path)?;
    let text = without_mark(&bytes)?;
    str::from_utf8(text).map(str::to_owned).map_err(|error| {
        let line = text[..error.valid_up_to()].split(|b| *b == b'\n').count();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("line {line} is not UTF-8 text: save the file as UTF-8"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_skipped_and_another_encoding_is_named() {
        let mut input = &b"\xef\xbb\xbfa\n"[..];
        skip_mark(&mut input).unwrap();
        assert_eq!(input, b"a\n");
        assert_eq!(without_mark(b"\xef\xbb").unwrap(), b"\xef\xbb");
        for utf16 in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a"] {
            assert!(without_mark(utf16).unwrap_err().to_string().contains("save it as UTF-8"));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, b"\xef\xbb\xbfa\nb\xff").unwrap();
        assert!(read_text(&path).unwrap_err().to_string().starts_with("line 2 is not UTF-8"));
        fs::write(&path, b"\xef\xbb\xbfa\n").unwrap();
        assert_eq!(read_text(&path).unwrap(), "a\n");
    }
}
