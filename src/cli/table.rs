//! Aligned columns.

/// Rows under a heading, each column as wide as its widest cell.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Aligned lines without a heading.
    pub const fn bare() -> Self {
        Self { rows: vec![] }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn render(&self) -> String {
        self.indented("")
    }

    pub fn indented(&self, indent: &str) -> String {
        let widths = self.widths();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = format!("{indent}{}", cells.collect::<Vec<_>>().join("  "));
            format!("{}\n", line.trim_end())
        };
        self.rows.iter().map(line).collect()
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |row: &Vec<String>, n| row.get(n).map_or(0, |cell: &String| cell.chars().count());
        (0..columns).map(|n| self.rows.iter().map(|row| width(row, n)).max().unwrap_or(0)).collect()
    }
}

/// `1 job`, `2 jobs`.
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_blanks() {
        let mut table = Table::new(&["NAME", "N", "NOTE"]);
        table.row(["a".into(), "1".into(), String::new()]);
        table.row(["größer".into(), "22".into(), "x".into()]);
        assert_eq!(table.render(), "NAME    N   NOTE\na       1\ngrößer  22  x\n");
    }
}
