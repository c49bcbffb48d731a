//! ONNX Runtime as the [`Engine`], through `ort`, which opens the library when the program runs.
//!
//! One thread and no spinning: with two threads and its own defaults the library keeps a processor busy between the frames of
//! a camera. The library and its environment exist once in a process; the first library that is opened stays.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{TensorElementType, TensorRef, ValueType};

use super::{Engine, Error, Fault, Tensor};

/// Says where the library is, unless the configuration does; the same as for other users of `ort`.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";
/// What the system is asked for otherwise.
const LIBRARY_NAME: &str = "libonnxruntime.so";

static ENVIRONMENT: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// A model that is loaded.
pub(super) struct Session {
    session: ort::session::Session,
    input_shape: Vec<Option<usize>>,
}

fn environment(library: Option<&Path>) -> Result<Environment, Error> {
    let named = std::env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let path = library.map(Path::to_path_buf).or(named).unwrap_or_else(|| LIBRARY_NAME.into());
    let mut known = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    let bad = |reason: String| {
        let reason = format!(
            "ONNX Runtime is not usable: {reason}; set detector.onnxruntime to a libonnxruntime.so of this machine's \
             architecture, version 1.17 or newer"
        );
        Error::new(Fault::BadLibrary, reason)
    };
    match &*known {
        Some((open, environment)) if *open == path => return Ok(environment.clone()),
        Some((open, _)) => {
            return Err(bad(format!("{} is asked for and {} is open", path.display(), open.display())));
        }
        None => {}
    }
    let builder = ort::init_from(&path).map_err(|error| bad(error.to_string()))?;
    let environment = builder
        .with_name("omnisight")
        .with_telemetry(false)
        .build()
        .map_err(|error| bad(error.to_string()))?;
    *known = Some((path, environment.clone()));
    Ok(environment)
}

impl Session {
    /// Loads a model.
    pub(super) fn open(model: &Path, library: Option<&Path>) -> Result<Self, Error> {
        let bad = |reason: String| Error::new(Fault::BadModel, format!("{}: {reason}", model.display()));
        // A missing file is named before anything is loaded.
        std::fs::metadata(model).map_err(|error| bad(format!("can't be read: {error}")))?;
        let environment = environment(library)?;
        let load = || -> ort::Result<ort::session::Session> {
            let mut builder = SessionBuilder::new(&environment)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                .with_intra_op_spinning(false)?
                .with_inter_op_spinning(false)?
                .with_optimization_level(GraphOptimizationLevel::Level3)?;
            builder.commit_from_file(model)
        };
        let session = load().map_err(|error| bad(format!("is no usable model: {error}")))?;
        let [input] = session.inputs() else {
            return Err(other_shape(model, &format!("{} inputs, not one", session.inputs().len())));
        };
        let ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } = input.dtype() else {
            return Err(other_shape(model, &format!("{}, not 32-bit floats", input.dtype())));
        };
        let input_shape = shape.iter().map(|&n| usize::try_from(n).ok()).collect();
        Ok(Self { session, input_shape })
    }
}

fn other_shape(model: &Path, takes: &str) -> Error {
    let reason =
        format!("{}: takes {takes}; use a detector with one input of 32-bit floats", model.display());
    Error::new(Fault::OtherShape, reason)
}

impl Engine for Session {
    fn input_shape(&self) -> &[Option<usize>] {
        &self.input_shape
    }

    fn run(&mut self, input: &Tensor, outputs: &mut Vec<Tensor>) -> Result<(), Error> {
        let failed =
            |error: ort::Error| Error::new(Fault::RunFailed, format!("model failed to run: {error}"));
        let shape: Vec<i64> = input.shape.iter().map(|&n| n as i64).collect();
        let view = TensorRef::from_array_view((shape, &input.data[..])).map_err(failed)?;
        let given = self.session.run(ort::inputs![view]).map_err(failed)?;
        outputs.resize_with(given.len(), Tensor::default);
        for (output, (_, value)) in outputs.iter_mut().zip(given.iter()) {
            let (shape, data) = value.try_extract_tensor::<f32>().map_err(failed)?;
            output.shape.clear();
            output.shape.extend(shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)));
            output.data.clear();
            output.data.extend_from_slice(data);
        }
        Ok(())
    }
}
