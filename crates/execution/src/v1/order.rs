//! The order of a block's lanes: by place, from the view's leader on.

use rustorium_types::View;

/// Returns `n` lanes in the order of their places. The view's leader comes first.
pub(crate) fn rotated(view: View, n: usize) -> Vec<usize> {
    let first = view.0.checked_rem(n as u64).unwrap_or(0) as usize;
    (first..n).chain(0..first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_one_rotates_lanes_by_view() {
        assert_eq!(rotated(View(0), 4), [0, 1, 2, 3]);
        assert_eq!(rotated(View(6), 4), [2, 3, 0, 1]);
        assert_eq!(rotated(View(u64::MAX), 3), [0, 1, 2]);
        assert_eq!(rotated(View(5), 0), [0usize; 0]);
    }
}
