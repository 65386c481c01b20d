//! Hits: what the library found, and what others found, on their way back.

use super::Flood;
use crate::base::{Guid, Hops, Time};
use crate::message::{LinkMessage, QueryHit};
use crate::overlay::config::{
    HIT_BYTES_OWN, HIT_BYTES_PER_LINK, HITS_LATE, HITS_OWN, HITS_PER_LINK, ODD, STRIKE,
};
use crate::overlay::neighbours::Neighbours;
use crate::overlay::{Answer, Event, LinkId, Output};

impl Flood {
    /// The library has looked.
    pub(in crate::overlay) fn on_matched(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        guid: Guid,
        answers: Vec<Answer>,
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(guid) else { return };
        if !std::mem::take(&mut route.matching) {
            return;
        }
        route.asked = route.asked.saturating_add(1);
        if route.traced
            && let Some(tracing) = self.traces.find_mut(guid)
        {
            tracing.note_match(answers.iter().map(|answer| usize::from(answer.count)).sum());
        }
        for Answer { count, body } in answers {
            if let Some(link) = route.way_for_hits(neighbours, None) {
                let hops = Hops(0);
                let hit = QueryHit { guid, hops, responder: self.id, count, body };
                self.ways.note(now, guid, self.id, None, Some(link));
                out.push(Output::Send { link, message: LinkMessage::QueryHit(hit) });
            }
        }
        self.finish_if_quiet(now, neighbours, guid, out);
    }

    /// The library had no time.
    pub(in crate::overlay) fn on_match_refused(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        guid: Guid,
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(guid) else { return };
        if std::mem::take(&mut route.matching) {
            route.lost = route.lost.saturating_add(1);
            self.finish_if_quiet(now, neighbours, guid, out);
        }
    }

    /// Hits on their way back.
    pub(in crate::overlay) fn on_hit(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        link: LinkId,
        hit: QueryHit,
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(hit.guid) else {
            neighbours.strike(now, link, ODD); // nobody asked, or long ago
            return;
        };
        let (mine, born) = (route.mine, route.born);
        let tie = route.tie(link);
        if !tie.is_sent() {
            neighbours.strike(now, link, STRIKE);
            return;
        }
        let (count, bytes) =
            (u32::from(hit.count), u32::try_from(hit.body.len()).unwrap_or(u32::MAX));
        if mine {
            let Some(search) = self.searches.get_mut(&hit.guid) else { return };
            search.hits = search.hits.saturating_add(count);
            search.bytes = search.bytes.saturating_add(bytes);
            if search.hits <= HITS_OWN && search.bytes <= HIT_BYTES_OWN {
                self.ways.note(now, hit.guid, hit.responder, Some(link), None);
                if let Some(tracing) = self.traces.find_mut(hit.guid) {
                    tracing.note_hits(link, &hit);
                }
                out.push(Output::Event(Event::Hit(hit)));
            } else {
                (search.enough, search.cut) = (true, true);
            }
            return;
        }
        tie.hits = tie.hits.saturating_add(count);
        tie.bytes = tie.bytes.saturating_add(bytes);
        let over = tie.hits > HITS_PER_LINK || tie.bytes > HIT_BYTES_PER_LINK;
        if over || now.since(born) > HITS_LATE {
            route.lost = route.lost.saturating_add(1);
            return;
        }
        let Some(hops) = hit.hops.next() else { return };
        if let Some(back) = route.way_for_hits(neighbours, Some(link)) {
            let hit = QueryHit { hops, ..hit };
            self.ways.note(now, hit.guid, hit.responder, Some(link), Some(back));
            out.push(Output::Send { link: back, message: LinkMessage::QueryHit(hit) });
        }
    }

    /// Hits were thrown out of a full queue: the searcher shall know that some are missing.
    pub(in crate::overlay) fn on_hit_shed(&mut self, guid: Guid) {
        if let Some(route) = self.routes.find_mut(guid) {
            route.lost = route.lost.saturating_add(1);
        }
    }
}
