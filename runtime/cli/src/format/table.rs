/// Aligns lines of tab-terminated cells as Go's tabwriter does with a minimal width, a padding and spaces.
///
/// A column is a run of consecutive lines that have a cell there; what follows the last tab of a line is not part of
/// any column, so it is never padded.
pub(crate) fn align(text: &str, minimum: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len().saturating_sub(1)]).collect();
    for index in 0..lines.len() {
        for column in 0..widths[index].len() {
            if widths[index][column] != 0 {
                continue;
            }
            let end = (index..lines.len()).find(|line| widths[*line].len() <= column).unwrap_or(lines.len());
            let widest = (index..end).map(|line| lines[line][column].chars().count() + padding).max().unwrap_or(0);
            let width = widest.max(minimum);
            for line in &mut widths[index..end] {
                line[column] = width;
            }
        }
    }
    let mut output = String::new();
    for (number, cells) in lines.iter().enumerate() {
        if number > 0 {
            output.push('\n');
        }
        for (column, cell) in cells.iter().enumerate() {
            output.push_str(cell);
            if let Some(width) = widths[number].get(column) {
                output.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cell_is_not_padded_but_an_empty_one_leaves_the_padding_before_it() {
        assert_eq!(align("ID\tNAME\tPORTS\n1\tweb\t\n", 10, 3), "ID        NAME      PORTS\n1         web       \n");
    }
}
