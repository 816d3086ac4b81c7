//! Rows that are used again, lowest free row last in first out: the same history gives the same
//! row numbers.

/// A table of values in flight, addressed by row.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    rows: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { rows: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts a value into a free row.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(row) => {
                self.rows[row as usize] = Some(value);
                row
            }
            None => {
                self.rows.push(Some(value));
                u32::try_from(self.rows.len() - 1).expect("invariant: fewer than 2^32 values are in flight")
            }
        }
    }

    /// Takes a value out.
    pub(crate) fn take(&mut self, row: u32) -> T {
        let value = self.rows[row as usize].take().expect("invariant: a row is taken once");
        self.free.push(row);
        value
    }

    /// Takes a value out whose row stays in use: it is given back, or the row is freed.
    pub(crate) fn lend(&mut self, row: u32) -> T {
        self.rows[row as usize].take().expect("invariant: a row is lent once")
    }

    /// Takes a lent value back.
    pub(crate) fn give_back(&mut self, row: u32, value: T) {
        self.rows[row as usize] = Some(value);
    }

    /// Frees the row of a value that was lent and is not given back.
    pub(crate) fn free(&mut self, row: u32) {
        self.free.push(row);
    }

    /// A value that stays.
    pub(crate) fn get_mut(&mut self, row: u32) -> &mut T {
        self.rows[row as usize].as_mut().expect("invariant: the row is in use")
    }

    /// All values, to be changed; those that are lent are left out.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.rows.iter_mut().flatten()
    }

    /// How many rows are in use.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_used_again() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!(slab.take(a), 'a');
        assert_eq!(slab.insert('c'), a);
        assert_eq!((*slab.get_mut(b), slab.len()), ('b', 2));
    }

    #[test]
    fn a_lent_row_is_nobody_elses() {
        let mut slab = Slab::default();
        let a = slab.insert('a');
        assert_eq!((slab.lend(a), slab.len()), ('a', 1));
        let b = slab.insert('b');
        assert_ne!(a, b);
        slab.give_back(a, 'z');
        assert_eq!(slab.lend(a), 'z');
        slab.free(a);
        assert_eq!((slab.insert('c'), slab.len()), (a, 2));
    }
}
