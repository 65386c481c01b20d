//! Where the servents of a mesh stand in a picture of it.

use crate::sim::topology::Links;

/// Steps of the springs: enough for 200 servents to come to rest.
const STEPS: usize = 300;
/// How far anybody moves in the first step; each step less, so that it ends.
const FIRST_STEP: f64 = 0.1;
/// Keeps those without a link between them in the picture.
const HOMESICK: f64 = 0.6;

/// Places in the unit square: those who are linked near each other, all others apart
/// (Fruchterman and Reingold, 1991). The same mesh is always drawn in the same way.
#[must_use]
pub fn layout(servents: usize, links: &Links) -> Vec<(f64, f64)> {
    let mut places: Vec<(f64, f64)> = (0..servents)
        .map(|servent| {
            let turn = std::f64::consts::TAU * servent as f64 / servents.max(1) as f64;
            (turn.cos(), turn.sin())
        })
        .collect();
    let spring = (4.0 / servents.max(1) as f64).sqrt();
    for step in 0..STEPS {
        let reach = FIRST_STEP * (1.0 - step as f64 / STEPS as f64);
        let pushes = forces(&places, links, spring);
        for (place, push) in places.iter_mut().zip(pushes) {
            let length = push.0.hypot(push.1).max(1e-9);
            let moved = length.min(reach) / length;
            *place = (place.0 + push.0 * moved, place.1 + push.1 * moved);
        }
    }
    into_unit_square(&mut places);
    places
}

fn forces(places: &[(f64, f64)], links: &Links, spring: f64) -> Vec<(f64, f64)> {
    let mut pushes: Vec<(f64, f64)> = places
        .iter()
        .map(|at| {
            let apart = places.iter().map(|other| {
                let (x, y) = (at.0 - other.0, at.1 - other.1);
                let far = (x * x + y * y).max(1e-6);
                (x * spring * spring / far, y * spring * spring / far)
            });
            let sum = apart.fold((0.0, 0.0), |sum, push| (sum.0 + push.0, sum.1 + push.1));
            (sum.0 - at.0 * spring * HOMESICK, sum.1 - at.1 * spring * HOMESICK)
        })
        .collect();
    for &(a, b) in links {
        let (Some(from), Some(to)) = (places.get(a), places.get(b)) else { continue };
        let (x, y) = (to.0 - from.0, to.1 - from.1);
        let pull = x.hypot(y) / spring;
        for (end, sign) in [(a, 1.0), (b, -1.0)] {
            if let Some(push) = pushes.get_mut(end) {
                *push = (push.0 + sign * x * pull, push.1 + sign * y * pull);
            }
        }
    }
    pushes
}

fn into_unit_square(places: &mut [(f64, f64)]) {
    let least = |of: fn(&(f64, f64)) -> f64| places.iter().map(of).fold(f64::MAX, f64::min);
    let most = |of: fn(&(f64, f64)) -> f64| places.iter().map(of).fold(f64::MIN, f64::max);
    let (left, top) = (least(|p| p.0), least(|p| p.1));
    let (wide, high) = (most(|p| p.0) - left, most(|p| p.1) - top);
    for place in places {
        *place = ((place.0 - left) / wide.max(1e-9), (place.1 - top) / high.max(1e-9));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::topology;

    #[test]
    fn everybody_stands_in_the_square_and_nobody_on_another() {
        for (servents, links) in [
            (1, Links::new()),
            (2, topology::line(2)),
            (30, topology::ring(30)),
            (30, topology::star(30)),
            (40, topology::bridged_cliques(40, 2)),
        ] {
            let places = layout(servents, &links);
            assert_eq!(places.len(), servents);
            assert!(places.iter().all(|(x, y)| (0.0..=1.0).contains(x) && (0.0..=1.0).contains(y)));
            for (at, one) in places.iter().enumerate() {
                for other in &places[at + 1..] {
                    assert!((one.0 - other.0).hypot(one.1 - other.1) > 0.005, "{one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn neighbours_stand_nearer_than_strangers() {
        let places = layout(20, &topology::bridged_cliques(20, 0));
        let far = |a: usize, b: usize| {
            let ((ax, ay), (bx, by)) = (places[a], places[b]);
            (ax - bx).hypot(ay - by)
        };
        assert!(far(0, 5) < far(0, 15) && far(12, 18) < far(2, 18));
    }
}
