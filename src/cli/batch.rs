//! `attendant enqueue --batch`: many jobs as lines of JSON, sent in parts.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
};

use serde_json::Value;

use super::{
    client::path,
    exit::{Exit, Failure, told},
    fields,
    session::{Ended, Session},
};

/// Lines sent at once, and their size: well below what the API takes, and few enough that the
/// first answers are printed while the rest is sent.
const LINES: usize = 500;
const BYTES: usize = 512 * 1024;

/// Lines with their numbers in the input.
#[derive(Default)]
struct Part {
    numbers: Vec<usize>,
    body: Vec<u8>,
}

pub(super) async fn run(session: &mut Session<'_, '_>, file: &str) -> Ended {
    if file == "-" {
        // Read whole first: the console is needed for the answers meanwhile.
        let input = session.console.read("-")?;
        return send_all(session, file, &input[..]).await;
    }
    let input = File::open(file)
        .map_err(|error| Failure::usage(format!("{file} cannot be read: {error}")))?;
    send_all(session, file, input).await
}

async fn send_all(session: &mut Session<'_, '_>, file: &str, input: impl Read) -> Ended {
    let mut input = BufReader::new(input);
    let mut number = 0;
    let mut exit = Exit::Done;
    loop {
        let part = next(&mut input, &mut number)
            .map_err(|error| Failure::usage(format!("{file} cannot be read: {error}")))?;
        if part.numbers.is_empty() {
            return Ok(exit);
        }
        exit = exit.max(send(session, part).await?);
    }
}

/// The next part; empty at the end. Blank lines are nothing.
fn next(input: &mut impl BufRead, number: &mut usize) -> std::io::Result<Part> {
    let mut part = Part::default();
    while part.numbers.len() < LINES && part.body.len() < BYTES {
        let before = part.body.len();
        if input.read_until(b'\n', &mut part.body)? == 0 {
            break;
        }
        *number += 1;
        let line = part.body[before..].trim_ascii().to_vec();
        part.body.truncate(before);
        if !line.is_empty() {
            part.body.extend(line);
            part.body.push(b'\n');
            part.numbers.push(*number);
        }
    }
    Ok(part)
}

async fn send(session: &mut Session<'_, '_>, part: Part) -> Result<Exit, Failure> {
    let (first, last) = (part.numbers.first().copied(), part.numbers.last().copied());
    let reply = session.client.post_lines(&path(&["jobs", "batch"]), part.body).await;
    let reply = reply.inspect_err(|_| {
        let (first, last) = (first.unwrap_or(0), last.unwrap_or(0));
        session.console.note(format!("attendant: lines {first} to {last} were not accepted"));
    })?;
    let mut exit = Exit::Done;
    let mut numbers = part.numbers.into_iter();
    for line in reply.body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty())
    {
        let number = numbers.next().unwrap_or(0);
        let outcome: Value = serde_json::from_slice(line)
            .map_err(|error| Failure::not_so(format!("the daemon's answer: {error}")))?;
        let (one, text) = outcome_of(&outcome, number);
        exit = exit.max(one);
        if session.json() {
            session.console.raw(line)?;
        } else {
            session.console.line(text)?;
        }
    }
    if let Some(number) = numbers.next() {
        return Err(Failure::not_so(format!(
            "the daemon did not answer line {number} and those after"
        )));
    }
    session.console.flush()?;
    Ok(exit)
}

/// An id, or what is wrong with a line.
fn outcome_of(outcome: &Value, number: usize) -> (Exit, String) {
    let status = fields::number(outcome, "status");
    let status = u16::try_from(status).unwrap_or(500);
    if status < 300 {
        return (Exit::Done, fields::text(outcome, "job.id"));
    }
    let problem = outcome.get("problem").unwrap_or(&Value::Null);
    let words = told(status, problem).replace("\n  ", "; ");
    (Exit::of_status(status), format!("error: line {number}: {words}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blank_lines_are_left_out_and_numbers_stay_right() {
        let mut number = 0;
        let part = next(&mut &b"{\"kind\":1}\r\n\n  \n{\"kind\":2}"[..], &mut number).unwrap();
        assert_eq!(part.numbers, [1, 4]);
        assert_eq!(part.body, b"{\"kind\":1}\n{\"kind\":2}\n");
    }

    #[test]
    fn long_inputs_go_in_parts() {
        let input = "{}\n".repeat(LINES + 1);
        let (mut input, mut number) = (input.as_bytes(), 0);
        assert_eq!(next(&mut input, &mut number).unwrap().numbers.len(), LINES);
        assert_eq!(next(&mut input, &mut number).unwrap().numbers, [LINES + 1]);
        assert!(next(&mut input, &mut number).unwrap().numbers.is_empty());
    }

    #[test]
    fn an_outcome_is_one_line() {
        let good = json!({"status": 201, "job": {"id": "a"}});
        assert_eq!(outcome_of(&good, 1), (Exit::Done, "a".to_owned()));
        let bad = json!({"status": 422, "problem": {"detail": "invalid", "errors": [
            {"field": "kind", "message": "is unknown"}]}});
        let expected = "error: line 3: invalid; kind: is unknown".to_owned();
        assert_eq!(outcome_of(&bad, 3), (Exit::Usage, expected));
        let once = json!({"status": 422, "problem": {"title": "Invalid",
            "detail": "kind: is unknown", "errors": [{"field": "kind", "message": "is unknown"}]}});
        assert_eq!(outcome_of(&once, 3).1, "error: line 3: kind: is unknown");
    }
}
