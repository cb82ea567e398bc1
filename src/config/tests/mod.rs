//! Whole configurations: files in a folder, an environment made by hand.

mod account_problems;
mod fuzz;
mod layers;
mod problems;
mod reference;
mod secrets;
mod values;

use std::path::{Path, PathBuf};

use super::{Config, Env, Inputs, Override, Position};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// A folder with a main file, perhaps `conf.d`, and an environment.
struct Setup {
    folder: tempfile::TempDir,
    env: Env,
    overrides: Vec<Override>,
}

impl Setup {
    fn new(main: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("conf.d")).unwrap();
        let env = Env::from([("HOME".to_owned(), "/home/a".to_owned())]);
        Self { folder, env, overrides: Vec::new() }.file("attendant.toml", main)
    }

    fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.path(name), content).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn flag(mut self, flag: &str, key: &str, value: &str) -> Self {
        self.overrides.push(Override { flag: flag.into(), key: key.into(), value: value.into() });
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Result<Config, Diagnostics> {
        let main = self.path("attendant.toml");
        Config::load(&Inputs { file: Some(&main), env: &self.env, overrides: &self.overrides })
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// What is wrong, without the folder's own path.
    fn problems(&self) -> Vec<String> {
        self.shown(&self.load().expect_err("a bad configuration").0)
    }

    fn shown(&self, problems: &[Diagnostic]) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
    }
}

fn position(file: impl AsRef<Path>, line: usize) -> Position {
    Position { file: file.as_ref().to_owned(), line: Some(line) }
}
