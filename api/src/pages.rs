//! A table by row for rows that are used once and in ascending order: what is in use lies in a
//! window, and pages behind it are given back.

/// Rows of a page.
const PAGE: usize = 64;

/// Values by row. A page without values costs a pointer.
#[derive(Clone, Debug)]
pub struct Pages<T> {
    pages: Vec<Option<Box<Page<T>>>>,
}

#[derive(Clone, Debug)]
struct Page<T> {
    rows: [Option<T>; PAGE],
    used: usize,
}

impl<T> Default for Pages<T> {
    fn default() -> Pages<T> {
        Pages { pages: Vec::new() }
    }
}

fn place(row: u32) -> (usize, usize) {
    (row as usize / PAGE, row as usize % PAGE)
}

impl<T> Pages<T> {
    /// The value of a row.
    pub fn get(&self, row: u32) -> Option<&T> {
        let (page, index) = place(row);
        self.pages.get(page)?.as_ref()?.rows[index].as_ref()
    }

    /// The value of a row, to be changed.
    pub fn get_mut(&mut self, row: u32) -> Option<&mut T> {
        let (page, index) = place(row);
        self.pages.get_mut(page)?.as_mut()?.rows[index].as_mut()
    }

    /// Gives a row a value. Returns the one that it had.
    pub fn insert(&mut self, row: u32, value: T) -> Option<T> {
        let (page, index) = place(row);
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page]
            .get_or_insert_with(|| Box::new(Page { rows: std::array::from_fn(|_| None), used: 0 }));
        let old = page.rows[index].replace(value);
        page.used += usize::from(old.is_none());
        old
    }

    /// Takes the value of a row.
    pub fn remove(&mut self, row: u32) -> Option<T> {
        let (page, index) = place(row);
        let slot = self.pages.get_mut(page)?;
        let page = slot.as_mut()?;
        let old = page.rows[index].take()?;
        page.used -= 1;
        if page.used == 0 {
            *slot = None;
        }
        Some(old)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::stream::Stream;

    use super::*;

    #[test]
    fn a_table_holds_what_a_map_holds_and_gives_empty_pages_back() {
        let (mut pages, mut map) = (Pages::default(), BTreeMap::new());
        let mut stream = Stream::new(7, 0, 0);
        for step in 0..20_000 {
            let row = stream.below(1_000) as u32;
            match stream.below(3) {
                0 => assert_eq!(pages.insert(row, step), map.insert(row, step)),
                1 => assert_eq!(pages.remove(row), map.remove(&row)),
                _ => assert_eq!(pages.get(row), map.get(&row)),
            }
        }
        for row in 0..2_000 {
            assert_eq!(
                (pages.get_mut(row).copied(), pages.remove(row)),
                (map.get(&row).copied(), map.remove(&row))
            );
        }
        assert!(pages.pages.iter().all(Option::is_none));
    }
}
