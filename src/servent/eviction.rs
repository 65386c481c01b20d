//! Who has to go when a newcomer finds no room.
//!
//! After Bitcoin's `AttemptToEvictConnection`: each of several kinds of merit protects a
//! few, and an attacker would have to outdo honest peers in all of them at once. What is
//! left goes by age, and then the most crowded place loses its youngest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use super::origin::crowd;
use crate::base::Time;

/// Kept by a keyed hash of where they are: nobody can choose to be among them.
const BY_PLACE: usize = 4;
/// Kept for the shortest round trip: it takes being near.
const BY_ROUND_TRIP: usize = 8;
/// Kept for the latest pieces that were verified.
const BY_PIECE: usize = 4;
/// Kept for the latest hits that were of use to the user.
const BY_HIT: usize = 4;

/// A connection that stands, and its merits.
#[derive(Clone, Debug)]
pub(super) struct Merits {
    /// Numbers grow: the smaller one has been here longer.
    pub(super) number: u64,
    pub(super) from: IpAddr,
    /// The shortest that was measured.
    pub(super) round_trip: Option<Duration>,
    /// When it last gave a piece that was right.
    pub(super) gave_piece: Option<Time>,
    /// When the user last began a download of what it had named in a hit.
    pub(super) gave_hit: Option<Time>,
}

/// The number of the one that goes; none if all deserve their places.
pub(super) fn victim(standing: &[Merits], key: &RandomState) -> Option<u64> {
    let mut rest: Vec<&Merits> = standing.iter().collect();
    protect(&mut rest, BY_PLACE, |one| Some(key.hash_one(crowd(one.from))));
    protect(&mut rest, BY_ROUND_TRIP, |one| one.round_trip);
    protect(&mut rest, BY_PIECE, |one| one.gave_piece.map(Reverse));
    protect(&mut rest, BY_HIT, |one| one.gave_hit.map(Reverse));
    let half = rest.len() / 2;
    protect(&mut rest, half, |one| Some(one.number));

    let mut crowds: BTreeMap<IpAddr, (usize, u64)> = BTreeMap::new();
    for one in rest {
        let (count, youngest) = crowds.entry(crowd(one.from)).or_default();
        *count += 1;
        *youngest = one.number.max(*youngest);
    }
    crowds.into_values().max().map(|(_, youngest)| youngest)
}

/// Takes the `count` best out of `rest`, of those that have the merit at all.
fn protect<K: Ord>(rest: &mut Vec<&Merits>, count: usize, merit: impl Fn(&Merits) -> Option<K>) {
    let mut ranked: Vec<_> =
        rest.iter().filter_map(|one| Some((merit(one)?, one.number))).collect();
    ranked.sort_unstable();
    let kept: BTreeSet<u64> = ranked.into_iter().take(count).map(|(_, number)| number).collect();
    rest.retain(|one| !kept.contains(&one.number));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(number: u64, from: [u8; 4]) -> Merits {
        let from = from.into();
        Merits { number, from, round_trip: None, gave_piece: None, gave_hit: None }
    }

    /// 8 honest ones that came late, among `flood` of 4 groups that came before them.
    fn under_attack(flood: u8, honest: impl Fn(u8, &mut Merits)) -> Vec<Merits> {
        let mut all: Vec<_> = (0..flood).map(|i| from(i.into(), [11, i % 4, i, 1])).collect();
        all.extend((0..8).map(|i| {
            let mut one = from(1000 + u64::from(i), [22, i, 0, 1]);
            honest(i, &mut one);
            one
        }));
        all
    }

    /// Whom a crowd of newcomers from one group pushes out, one after the other.
    fn pushed_out(mut all: Vec<Merits>, newcomers: u64) -> BTreeSet<u64> {
        let key = RandomState::new();
        let mut out = BTreeSet::new();
        for number in 2000..2000 + newcomers {
            if let Some(victim) = victim(&all, &key) {
                all.retain(|one| one.number != victim);
                all.push(from(number, [11, 0, 9, 9]));
                out.insert(victim);
            }
        }
        out
    }

    #[test]
    fn a_crowd_pushes_out_itself_and_none_of_the_near() {
        let near = |i: u8, one: &mut Merits| {
            one.round_trip = Some(Duration::from_millis(u64::from(i)));
        };
        let out = pushed_out(under_attack(100, near), 500);
        assert_eq!(out.len(), 500);
        assert!(out.iter().all(|number| !(1000..1008).contains(number)), "{out:?}");
    }

    #[test]
    fn who_gave_pieces_or_hits_stays() {
        let useful = |i: u8, one: &mut Merits| {
            let at = Some(Time::ZERO + Duration::from_secs(i.into()));
            if i < 4 { one.gave_piece = at } else { one.gave_hit = at }
        };
        let out = pushed_out(under_attack(100, useful), 500);
        assert!(out.iter().all(|number| !(1000..1008).contains(number)), "{out:?}");
    }

    #[test]
    fn of_equals_the_youngest_of_the_largest_crowd_goes() {
        let mut all = under_attack(100, |_, _| {});
        for number in 0..40 {
            all.push(from(3000 + number, [33, 0, 0, 1]));
        }
        assert_eq!(victim(&all, &RandomState::new()), Some(3039));
    }

    #[test]
    fn where_all_deserve_their_places_nobody_goes() {
        let all: Vec<_> = (0..12)
            .map(|i| Merits {
                round_trip: Some(Duration::from_millis(9)),
                ..from(i.into(), [22, i, 0, 1])
            })
            .collect();
        assert_eq!(victim(&all, &RandomState::new()), None);
        assert_eq!(victim(&[], &RandomState::new()), None);
    }
}
