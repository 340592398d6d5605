//! Tables for people: columns as wide as their widest cell, numbers to the right.

/// Rows under a head.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A table with these column titles; a title that ends in `>` has its cells to the right.
    pub(crate) fn new(titles: &[&str]) -> Self {
        let right = titles.iter().map(|title| title.ends_with('>')).collect();
        let head = titles
            .iter()
            .map(|title| title.trim_end_matches('>').to_owned());
        Self {
            rows: vec![head.collect()],
            right,
        }
    }

    /// Adds a row; it has a cell for each column.
    pub(crate) fn push(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.right.len());
        self.rows.push(cells);
    }

    /// The table as lines.
    pub(crate) fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                let padding = " ".repeat(width - cell.chars().count());
                if *right {
                    line.push_str(&padding);
                    line.push_str(cell);
                } else {
                    line.push_str(cell);
                    line.push_str(&padding);
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right() {
        let mut table = Table::new(&["NAME", "PID>", "STATE"]);
        table.push(vec![
            "main".to_owned(),
            "7".to_owned(),
            "running".to_owned(),
        ]);
        table.push(vec!["küche-2".to_owned(), "1234".to_owned(), String::new()]);
        let expected = "\
NAME      PID  STATE
main        7  running
küche-2  1234
";
        assert_eq!(table.render(), expected);
    }
}
