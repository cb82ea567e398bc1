//! The fields of a cron expression as Vixie cron has them, read strictly so that every mistake is
//! named, and written as the crate `cron` takes them: seconds always, weekdays by their names.

use std::collections::BTreeSet;

/// What is wrong with an expression, and with which of its fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", field.as_ref().map(|(name, text)| format!("{name} (`{text}`): ")).unwrap_or_default())]
pub struct CronError {
    field: Option<(&'static str, String)>,
    why: String,
}

impl CronError {
    pub(super) fn whole(why: impl Into<String>) -> Self {
        Self { field: None, why: why.into() }
    }

    pub(super) fn day(why: &str) -> Self {
        Self::whole(why)
    }
}

struct Kind {
    name: &'static str,
    low: u32,
    high: u32,
    /// Names of the values from `low` on.
    names: &'static [&'static str],
}

const SECOND: Kind = Kind { name: "second", low: 0, high: 59, names: &[] };
const MINUTE: Kind = Kind { name: "minute", low: 0, high: 59, names: &[] };
const HOUR: Kind = Kind { name: "hour", low: 0, high: 23, names: &[] };
const DAY: Kind = Kind { name: "day of month", low: 1, high: 31, names: &[] };
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const MONTH: Kind = Kind { name: "month", low: 1, high: 12, names: &MONTHS };
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// 7 is Sunday too.
const WEEKDAY: Kind = Kind { name: "weekday", low: 0, high: 7, names: &DAYS };

/// One field.
#[derive(Debug)]
struct Field {
    values: BTreeSet<u32>,
    /// It begins with `*`, which is what Vixie cron looks at.
    star: bool,
}

/// An expression that was read.
#[derive(Debug)]
pub(super) struct Fields {
    /// Seconds, minutes, hours, days, months, weekdays (0 to 6).
    fields: [Field; 6],
}

/// What a word stands for.
const WORDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Fields {
    pub(super) fn read(text: &str) -> Result<Self, CronError> {
        let text = text.trim();
        let text = if text.starts_with('@') { word(text)? } else { text };
        let written: Vec<&str> = text.split_whitespace().collect();
        let (second, rest) = match written.as_slice() {
            rest @ [_, _, _, _, _] => ("0", rest),
            [second, rest @ ..] if rest.len() == 5 => (*second, rest),
            other => {
                let count = other.len();
                let words =
                    format!("has {count} fields: write five, or six with the seconds first");
                return Err(CronError::whole(words));
            }
        };
        let mut weekdays = WEEKDAY.read(rest[4])?;
        if weekdays.values.remove(&7) {
            weekdays.values.insert(0);
        }
        let fields = [
            SECOND.read(second)?,
            MINUTE.read(rest[0])?,
            HOUR.read(rest[1])?,
            DAY.read(rest[2])?,
            MONTH.read(rest[3])?,
            weekdays,
        ];
        Ok(Self { fields })
    }

    pub(super) const fn by_the_hour(&self) -> bool {
        self.fields[2].star
    }

    /// As the crate `cron` reads it. Where both fields of days are given, either is enough, and
    /// there are two expressions.
    pub(super) fn expressions(&self) -> Vec<String> {
        let [second, minute, hour, day, month, weekday] = &self.fields;
        let of = |day: &str, weekday: &str| {
            let [second, minute, hour, month] =
                [(second, &SECOND), (minute, &MINUTE), (hour, &HOUR), (month, &MONTH)]
                    .map(|(field, kind)| kind.write(field));
            format!("{second} {minute} {hour} {day} {month} {weekday}")
        };
        let (days, weekdays) = (DAY.write(day), names(weekday));
        if day.star || weekday.star {
            return vec![of(&days, &weekdays)];
        }
        vec![of(&days, "*"), of("*", &weekdays)]
    }
}

fn word(text: &str) -> Result<&'static str, CronError> {
    if let Some((_, fields)) = WORDS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)) {
        return Ok(fields);
    }
    let known: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
    Err(CronError::whole(format!("`{text}` is no such word; known: {}", known.join(", "))))
}

fn names(weekday: &Field) -> String {
    if weekday.values.len() == DAYS.len() {
        return "*".to_owned();
    }
    let name = |day: &u32| usize::try_from(*day).ok().and_then(|day| DAYS.get(day)).copied();
    weekday.values.iter().filter_map(name).collect::<Vec<_>>().join(",")
}

impl Kind {
    fn read(&self, text: &str) -> Result<Field, CronError> {
        let wrong = |why| CronError { field: Some((self.name, text.to_owned())), why };
        let mut values = BTreeSet::new();
        for part in text.split(',') {
            let (low, high, step) = self.part(part).map_err(wrong)?;
            values.extend((low..=high).step_by(step));
        }
        Ok(Field { values, star: text.starts_with('*') })
    }

    /// `*`, `a`, `a-b`, and with a step `*/n` or `a-b/n`.
    fn part(&self, part: &str) -> Result<(u32, u32, usize), String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        // For `*` the weekdays are 0 to 6: 7 is one of them.
        let top = if self.high == 7 { 6 } else { self.high };
        let (low, high) = match range.split_once('-') {
            _ if range == "*" => (self.low, top),
            Some((low, high)) => self.range(low, high)?,
            None if step.is_some() => {
                return Err(format!("a step needs a range: write {range}-{top}/… or */…"));
            }
            None => {
                let one = self.value(range)?;
                (one, one)
            }
        };
        let step = step.map_or(Ok(1), |step| match step.parse::<usize>() {
            Ok(step) if (1..=100).contains(&step) => Ok(step),
            _ => Err(format!("`{step}` is not a step: write a number from 1 on")),
        })?;
        Ok((low, high, step))
    }

    fn range(&self, low: &str, high: &str) -> Result<(u32, u32), String> {
        let (low, mut high) = (self.value(low)?, self.value(high)?);
        // SAT-SUN ends with the Sunday after it.
        if self.high == 7 && high == 0 && low > 0 {
            high = 7;
        }
        if low > high {
            let (from, to) = (self.low, self.high);
            return Err(format!("the range ends before it begins: write {low}-{to},{from}-{high}"));
        }
        Ok((low, high))
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        if let Some(at) = self.names.iter().position(|name| text.eq_ignore_ascii_case(name)) {
            return Ok(self.low + u32::try_from(at).unwrap_or(0));
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let value = text.parse().ok().filter(|_| digits);
        let names = match self.names {
            [] => String::new(),
            [first, .., last] => format!(", or {first} to {last}"),
            [one] => format!(", or {one}"),
        };
        match value {
            Some(value) if (self.low..=self.high).contains(&value) => Ok(value),
            _ => Err(format!("`{text}` is not a number from {} to {}{names}", self.low, self.high)),
        }
    }

    fn write(&self, field: &Field) -> String {
        let all = self.low..=self.high;
        if all.clone().all(|value| field.values.contains(&value)) {
            return "*".to_owned();
        }
        field.values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}
