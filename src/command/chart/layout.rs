//! Where the servents of a map stand: on rings by their hops, each near its neighbours.
//!
//! On a ring the places are evenly spaced, so that nobody covers anybody; who has which
//! place is found by letting each be pulled towards its neighbours, ring by ring, until the
//! order holds (the barycentre method of layered drawings, bent into rings).

use std::f64::consts::TAU;

use crate::servent::report::MapReport;

/// Rounds of pulling: more change little.
const ROUNDS: usize = 24;
/// The least room of a ring, as a share of what the fullest gets: names stand in it.
const LEAST_ROOM: f64 = 0.45;

/// Where one servent stands, seen from the middle.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Place {
    /// Which ring: 0 is the middle.
    pub(super) ring: usize,
    /// In radians, clockwise from the right.
    pub(super) angle: f64,
    /// How many share its ring.
    pub(super) beside: usize,
    /// How far out its ring lies: 1 is the outermost.
    pub(super) far: f64,
}

/// The places, and how far out each ring lies around the middle, which comes first. Those to
/// whom no way is known stand on the outermost ring.
pub(super) fn places(map: &MapReport) -> (Vec<Place>, Vec<f64>) {
    let farthest = map.servents.iter().filter_map(|servent| servent.hops).max().unwrap_or(0);
    let mut rings: Vec<Vec<usize>> = vec![Vec::new(); farthest + 2];
    for (at, servent) in map.servents.iter().enumerate() {
        if let Some(ring) = rings.get_mut(servent.hops.unwrap_or(farthest + 1)) {
            ring.push(at);
        }
    }
    rings.retain(|ring| !ring.is_empty());
    let mut near = vec![Vec::new(); map.servents.len()];
    for link in &map.links {
        for (from, to) in [(link.one, link.other), (link.other, link.one)] {
            if let Some(near) = near.get_mut(from) {
                near.push(to);
            }
        }
    }
    let mut places = vec![Place::default(); map.servents.len()];
    rings.iter().enumerate().for_each(|(number, ring)| settle(&mut places, number, ring, 0.0));
    for _ in 0..ROUNDS {
        for (number, ring) in rings.iter_mut().enumerate().skip(1) {
            pull(&mut places, number, ring, &near);
        }
    }
    let radii = radii(&rings);
    for place in &mut places {
        place.far = radii.get(place.ring).copied().unwrap_or(1.0);
    }
    (places, radii)
}

/// A ring that many share gets more room than one of few, from the one within.
fn radii(rings: &[Vec<usize>]) -> Vec<f64> {
    let most = rings.iter().skip(1).map(Vec::len).max().unwrap_or(1).max(1) as f64;
    let room = |ring: &Vec<usize>| (ring.len() as f64 / most).sqrt().max(LEAST_ROOM);
    let whole: f64 = rings.iter().skip(1).map(room).sum();
    let mut far = 0.0;
    let around = rings.iter().skip(1).map(|ring| {
        far += room(ring) / whole;
        far
    });
    let around: Vec<f64> = around.collect();
    [0.0].into_iter().chain(around).collect()
}

/// Spaces a ring evenly, in its order, beginning at `first`.
fn settle(places: &mut [Place], number: usize, ring: &[usize], first: f64) {
    let beside = ring.len().max(1);
    for (nth, &at) in ring.iter().enumerate() {
        if let Some(place) = places.get_mut(at) {
            let angle = (first + TAU * nth as f64 / beside as f64).rem_euclid(TAU);
            *place = Place { ring: number, angle, beside, far: 0.0 };
        }
    }
}

/// Orders a ring by where the neighbours of each pull it, and turns it to fit them best.
fn pull(places: &mut [Place], number: usize, ring: &mut [usize], near: &[Vec<usize>]) {
    let wish = |at: usize| {
        let (mut x, mut y) = (0.0, 0.0);
        for place in near.get(at).into_iter().flatten().filter_map(|&next| places.get(next)) {
            // The ring within holds the order; the middle pulls nowhere.
            let weight = match place.ring {
                0 => 0.0,
                ring if ring < number => 3.0,
                _ => 1.0,
            };
            x += weight * place.angle.cos();
            y += weight * place.angle.sin();
        }
        let own = places.get(at).map_or(0.0, |place| place.angle);
        // Who is pulled to all sides alike stays.
        if x.hypot(y) < 1e-9 { own } else { y.atan2(x).rem_euclid(TAU) }
    };
    let mut wishes: Vec<(f64, usize)> = ring.iter().map(|&at| (wish(at), at)).collect();
    wishes.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    let step = TAU / wishes.len().max(1) as f64;
    let (mut x, mut y) = (0.0, 0.0);
    for (nth, (wish, _)) in wishes.iter().enumerate() {
        let off = wish - step * nth as f64;
        x += off.cos();
        y += off.sin();
    }
    ring.iter_mut().zip(&wishes).for_each(|(place, &(_, at))| *place = at);
    let first = if x.hypot(y) < 1e-9 { 0.0 } else { y.atan2(x) };
    settle(places, number, ring, first);
}

#[cfg(test)]
mod tests {
    use super::super::tests::map;
    use super::*;

    #[test]
    fn nobody_covers_anybody_and_the_servent_itself_is_in_the_middle() {
        let links: Vec<(usize, usize)> = (1..100).map(|at| (at / 3, at)).collect();
        let map = map(&links);
        let (places, rings) = places(&map);
        assert_eq!((rings.len(), places[0].ring), (1 + 3, 0));
        for (at, one) in places.iter().enumerate() {
            assert_eq!(Some(one.ring), map.servents[at].hops);
            for other in places.iter().skip(at + 1).filter(|other| other.ring == one.ring) {
                let apart = (one.angle - other.angle).abs();
                assert!(apart.min(TAU - apart) > 0.9 * TAU / one.beside as f64);
            }
        }
    }

    #[test]
    fn a_crowded_ring_has_more_room_than_one_of_few() {
        let mut map = map(&(1..50).map(|at| (0, at)).collect::<Vec<_>>());
        for (at, servent) in map.servents.iter_mut().enumerate() {
            servent.hops = Some(usize::from(at > 0) + usize::from(at > 12) + usize::from(at > 47));
        }
        let (places, rings) = places(&map);
        let [middle, few, crowd, outermost] = rings[..] else { panic!("{rings:?}") };
        assert_eq!((middle, outermost), (0.0, 1.0));
        assert!(crowd - few > few && crowd - few > 2.0 * (outermost - crowd), "{rings:?}");
        assert!(places.iter().all(|place| place.far == rings[place.ring]));
    }

    #[test]
    fn who_has_one_neighbour_stands_on_its_side() {
        // Four neighbours, and one behind each, told in another order.
        let mut links: Vec<(usize, usize)> = (1..5).map(|at| (0, at)).collect();
        links.extend([(1, 7), (2, 5), (3, 8), (4, 6)]);
        let (places, _) = places(&map(&links));
        for (near, far) in [(1, 7), (2, 5), (3, 8), (4, 6)] {
            let off = (places[near].angle - places[far].angle).abs();
            assert!(off.min(TAU - off) < 0.1, "{places:?}");
        }
    }
}
