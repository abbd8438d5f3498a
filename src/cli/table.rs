//! Plain tables: columns padded with blanks, two between them, readable without colour and easy to cut.

use crate::units;

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// To the left.
    Left,
    /// To the right, for numbers.
    Right,
}

/// A column is not made wider for longer cells: a forged name of a million characters would be padded in every row.
const MOST_WIDTH: usize = 200;

/// Renders rows under their headings. A column of nothing at all is left out. Cells are made visible: they may come
/// from elsewhere.
pub(super) fn render(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let visible = |row: &Vec<String>| row.iter().map(|cell| units::visible_line(cell).into_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(visible).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([columns[column].0.chars().count()]).max().unwrap_or(0).min(MOST_WIDTH)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let columns = cells.iter().zip(columns).zip(&widths).filter(|&(_, &width)| width > 0);
        let padded = columns.map(|((cell, (_, align)), &width)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        let mut line = padded.collect::<Vec<_>>().join("  ").trim_end().to_owned();
        line.push('\n');
        line
    };
    let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    let mut text = line(&headings);
    for row in &rows {
        text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = [vec!["ä".into(), "1".into()], vec!["long".into(), "200".into()]];
        let table = render(&[("Name", Align::Left), ("Size", Align::Right)], &rows);
        assert_eq!(table, "Name  Size\nä        1\nlong   200\n");
    }
}
