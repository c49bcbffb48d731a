//! `omnisight secret set|list|remove`.
//!
//! The value is never an argument, which others could see in the list of processes: it is the one line
//! of standard input, and on a terminal it is not shown while it is typed.

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;

use clap::Subcommand;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::{Error, say};
use crate::config;
use crate::secrets::{self, SecretName, SecretStore};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
    /// The configuration whose `state.dir` holds the secrets; without it `config/omnisight.toml`, then
    /// `/etc/omnisight/omnisight.toml`.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Keep the one line of standard input under this name.
    Set {
        /// What the configuration calls it.
        #[arg(value_parser = SecretName::parse)]
        name: SecretName,
    },
    /// Print the names of all secrets.
    List,
    /// Forget the secret of this name.
    Remove {
        /// What the configuration calls it.
        #[arg(value_parser = SecretName::parse)]
        name: SecretName,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let path = config::find(arguments.config.as_deref());
    let store = SecretStore::in_folder(&config::load_state_dir(path.as_deref(), super::variables())?);
    match &arguments.what {
        What::Set { name } => {
            store.set(name, &secrets::value(&typed(name)?)?)?;
            say(&format!("{name} is kept in {}", store.path().display()))
        }
        What::List => store.names()?.iter().try_for_each(|name| say(name)),
        What::Remove { name } if store.remove(name)? => say(&format!("{name} is forgotten")),
        What::Remove { name } => {
            Err(secrets::Error::NotFound { name: name.clone(), store: store.path() }.into())
        }
    }
}

/// What stands on standard input; one byte more than is allowed is enough to know that it is too much.
fn typed(name: &SecretName) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::File { what: "standard input".to_owned(), source };
    let mut input = io::stdin();
    let mut bytes = Vec::new();
    if input.is_terminal() {
        let _hidden = Hidden::begin().map_err(|error| failed(error.into()))?;
        let _ = write!(io::stderr(), "{name} (not shown): ");
        let mut line = String::new();
        let read = input.read_line(&mut line);
        let _ = writeln!(io::stderr());
        read.map_err(failed)?;
        return Ok(line.into_bytes());
    }
    let most = secrets::VALUE_BYTES_MAX as u64 + 3;
    input.by_ref().take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// While it lives, the terminal does not show what is typed.
struct Hidden {
    before: Termios,
}

impl Hidden {
    fn begin() -> rustix::io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
