//! Shapes of a mesh, as lists of pairs.

use std::collections::BTreeSet;

use rand::RngExt;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;

/// Pairs of servents that are linked, each pair once, the smaller number first.
pub type Links = BTreeSet<(usize, usize)>;

/// One after the other.
#[must_use]
pub fn line(servents: usize) -> Links {
    (1..servents).map(|i| (i - 1, i)).collect()
}

/// A line whose ends meet.
#[must_use]
pub fn ring(servents: usize) -> Links {
    let mut links = line(servents);
    if servents > 2 {
        links.insert((0, servents - 1));
    }
    links
}

/// Everybody with the first.
#[must_use]
pub fn star(servents: usize) -> Links {
    (1..servents).map(|i| (0, i)).collect()
}

/// Two cliques of half the servents each, joined by a bridge of `bridge` servents.
#[must_use]
pub fn bridged_cliques(servents: usize, bridge: usize) -> Links {
    let bridge = bridge.min(servents.saturating_sub(2));
    let half = (servents - bridge) / 2;
    let mut links = Links::new();
    for (from, to) in [(0, half), (half + bridge, servents)] {
        for a in from..to {
            links.extend((a + 1..to).map(|b| (a, b)));
        }
    }
    // The bridge is a line from the last of one clique to the first of the other.
    links.extend((half.saturating_sub(1)..half + bridge).map(|i| (i, i + 1)));
    links.retain(|&(a, b)| a != b && b < servents);
    links
}

/// A connected random mesh in which servents have about `degree` links.
#[must_use]
pub fn random(servents: usize, degree: usize, rng: &mut ChaCha12Rng) -> Links {
    let mut order: Vec<usize> = (0..servents).collect();
    order.shuffle(rng);
    let mut links: Links = Links::new();
    // A random tree first, so that nobody is cut off; then random pairs.
    for (i, &b) in order.iter().enumerate().skip(1) {
        if let Some(&a) = order.get(rng.random_range(0..i)) {
            links.insert((a.min(b), a.max(b)));
        }
    }
    let wanted = (servents * degree / 2).min(servents * servents.saturating_sub(1) / 2);
    while links.len() < wanted {
        let (a, b) = (rng.random_range(0..servents), rng.random_range(0..servents));
        if a != b {
            links.insert((a.min(b), a.max(b)));
        }
    }
    links
}

/// For each servent, those it is linked with.
pub(super) fn neighbours(servents: usize, links: &Links) -> Vec<Vec<u32>> {
    let mut beside: Vec<Vec<u32>> = vec![Vec::new(); servents];
    for &(a, b) in links {
        for (x, y) in [(a, b), (b, a)] {
            if let (Some(list), Ok(y)) = (beside.get_mut(x), u32::try_from(y)) {
                list.push(y);
            }
        }
    }
    beside
}

/// Everybody at most `most` links away from `from`, and how many: itself first.
pub(super) fn within(beside: &[Vec<u32>], from: usize, most: usize) -> Vec<(usize, usize)> {
    let mut seen = vec![false; beside.len()];
    let mut reached = Vec::new();
    let mut frontier = vec![from];
    let mut distance = 0;
    while !frontier.is_empty() && distance <= most {
        let mut next = Vec::new();
        for servent in frontier {
            if let Some(slot @ false) = seen.get_mut(servent) {
                *slot = true;
                reached.push((servent, distance));
                next.extend(beside.get(servent).into_iter().flatten().map(|&s| s as usize));
            }
        }
        frontier = next;
        distance += 1;
    }
    reached
}

/// How many links each servent is away from `from`, by plain breadth-first search;
/// none for those who cannot be reached.
#[must_use]
pub fn distances(servents: usize, links: &Links, from: usize) -> Vec<Option<usize>> {
    let beside = neighbours(servents, links);
    let mut distances = vec![None; servents];
    let mut frontier = vec![from];
    let mut distance = 0;
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for servent in frontier {
            if let Some(slot @ None) = distances.get_mut(servent) {
                *slot = Some(distance);
                next.extend(beside.get(servent).into_iter().flatten().map(|&s| s as usize));
            }
        }
        frontier = next;
        distance += 1;
    }
    distances
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn every_shape_is_one_mesh() {
        let mut rng = ChaCha12Rng::seed_from_u64(7);
        for n in 2..40 {
            let shapes = [
                line(n),
                ring(n),
                star(n),
                bridged_cliques(n, 0),
                bridged_cliques(n, 3),
                random(n, 4, &mut rng),
            ];
            for links in shapes {
                assert!(links.iter().all(|&(a, b)| a < b && b < n), "{n}: {links:?}");
                assert!(distances(n, &links, 0).iter().all(Option::is_some), "{n}: {links:?}");
            }
        }
    }

    #[test]
    fn distances_are_those_of_a_line() {
        let expected: Vec<_> = (0..6).map(Some).collect();
        assert_eq!(distances(6, &line(6), 0), expected);
        assert_eq!(distances(3, &Links::from([(0, 1)]), 0), [Some(0), Some(1), None]);
        assert_eq!(within(&neighbours(6, &line(6)), 2, 1), [(2, 0), (1, 1), (3, 1)]);
        assert_eq!(within(&neighbours(6, &line(6)), 0, usize::MAX).len(), 6);
    }
}
