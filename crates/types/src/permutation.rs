//! Permutations drawn from a seed, the same on every machine: of leaders (R1), and of lanes (R50).

/// Returns the numbers below `n`, permuted: Fisher–Yates from the last place down, with the outputs of splitmix64 from
/// `seed` on.
pub fn permutation(seed: u64, n: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..n).collect();
    let mut state = seed;
    for last in (1..n).rev() {
        let other = (split_mix(&mut state) % (last as u64 + 1)) as usize;
        places.swap(last, other);
    }
    places
}

/// Returns the generator's next number.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_has_each_number_once_and_is_the_generators() {
        // Reference values of the generator for seed 1234567.
        let mut state = 1_234_567;
        assert_eq!(split_mix(&mut state), 6_457_827_717_110_365_317);
        assert_eq!(split_mix(&mut state), 3_203_168_211_198_807_973);
        for n in 0..40 {
            let mut places = permutation(n as u64, n);
            places.sort_unstable();
            assert!(places.into_iter().eq(0..n));
        }
    }
}
