//! The three streams of a command, and how data, notes and failures are written to them.

use std::io::{ErrorKind, Read, Write};

use serde_json::Value;

use super::exit::{Exit, Failure};
use crate::{clock::Clock, types::Timestamp};

/// Standard input, output and error; in tests, buffers.
pub(super) struct Console<'a> {
    stdin: &'a mut dyn Read,
    stdout: &'a mut dyn Write,
    stderr: &'a mut dyn Write,
    /// `--json`.
    pub json: bool,
    clock: Clock,
}

impl<'a> Console<'a> {
    pub fn new(
        stdin: &'a mut dyn Read,
        stdout: &'a mut dyn Write,
        stderr: &'a mut dyn Write,
        json: bool,
        clock: Clock,
    ) -> Self {
        Self { stdin, stdout, stderr, json, clock }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Data, with a line end.
    pub fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.bytes(text.as_ref().as_bytes())?;
        self.bytes(b"\n")
    }

    /// Lines that end with a line end already, such as a table.
    pub fn text(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.bytes(text.as_ref().as_bytes())
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout.write_all(bytes).map_err(|error| unwritten(&error))
    }

    /// A document of the API as it came, on a line of its own.
    pub fn raw(&mut self, body: &[u8]) -> Result<(), Failure> {
        self.bytes(body)?;
        if body.ends_with(b"\n") { Ok(()) } else { self.bytes(b"\n") }
    }

    pub fn value(&mut self, value: &Value) -> Result<(), Failure> {
        self.line(value.to_string())
    }

    /// For whoever watches; standard error being closed is nobody's trouble.
    pub fn note(&mut self, text: impl AsRef<str>) {
        let _ = writeln!(self.stderr, "{}", text.as_ref());
    }

    /// A failure that does not end the command yet.
    pub fn fault(&mut self, failure: &Failure) {
        match failure {
            Failure::BrokenPipe => {}
            _ if self.json => self.note(failure.json().to_string()),
            _ => self.note(format!("attendant: {}", failure.words())),
        }
    }

    /// What an argument names: standard input for `-`, else a file.
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>, Failure> {
        let cannot = |error| Failure::usage(format!("{name} cannot be read: {error}"));
        if name == "-" {
            let mut bytes = Vec::new();
            self.stdin.read_to_end(&mut bytes).map_err(cannot)?;
            return Ok(bytes);
        }
        std::fs::read(name).map_err(cannot)
    }

    pub fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(|error| unwritten(&error))
    }

    /// Says what went wrong, if anything, and gives the exit code.
    pub fn finish(&mut self, ended: Result<Exit, Failure>) -> u8 {
        let ended = ended.and_then(|exit| self.flush().map(|()| exit));
        let _ = self.stderr.flush();
        match ended {
            Ok(exit) => exit.code(),
            Err(failure) => {
                self.fault(&failure);
                failure.exit().code()
            }
        }
    }
}

fn unwritten(error: &std::io::Error) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        return Failure::BrokenPipe;
    }
    Failure::not_so(format!("standard output cannot be written: {error}"))
}
