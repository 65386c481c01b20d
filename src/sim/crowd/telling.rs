//! What a crowd's servents tell each other of the file: who has which pieces, and who else
//! takes it. When, as in the daemon; what, says [`Telling`].

use super::Crowd;
use super::member::Word;
use crate::base::{PieceIndex, ServentId};
use crate::sim::Families;
#[cfg(doc)]
use crate::transfer::Telling;
use crate::transfer::{Input, Word as News};

impl Crowd<'_, '_> {
    /// `taker` asks something of the file: from now on it hears of it.
    pub(super) fn enter(&mut self, giver: u32, taker: u32) {
        let id = self.id_of(taker);
        if let Some(member) = self.members.get_mut(giver as usize)
            && let Some(telling) = &mut member.telling
        {
            telling.join(taker, id);
            self.tell_news(giver, taker);
        }
    }

    /// `taker` was promised `pieces`. Who asks for others than the last, which proves the
    /// size, has a part of its own by now, and so has something to give itself.
    pub(super) fn note_asked(&mut self, giver: u32, taker: u32, pieces: &[PieceIndex]) {
        let last = self.list.geometry().last();
        let id = self.id_of(taker);
        let Some(member) = self.members.get_mut(giver as usize) else { return };
        let Some(telling) = &mut member.telling else { return };
        let news = telling.asked(taker, pieces.iter().copied());
        let begun = pieces.iter().any(|&piece| last != Some(piece));
        if begun && self.met(giver, id) || news {
            self.spread(giver);
        }
    }

    /// `piece` came to `of`, from `source`, and is written.
    pub(super) fn gained(&mut self, of: u32, source: ServentId, piece: PieceIndex) {
        let Some(member) = self.members.get_mut(of as usize) else { return };
        let Some(telling) = &mut member.telling else { return };
        let news = telling.gained(piece);
        if self.met(of, source) || news {
            self.spread(of);
        }
    }

    /// `who` has pieces, and can be dialled; whether that is news to tell.
    fn met(&mut self, by: u32, who: ServentId) -> bool {
        let at = self
            .number_of(who)
            .and_then(|number| Families::V4.addresses(number as usize).first().copied());
        let Some(member) = self.members.get_mut(by as usize) else { return false };
        let Some((telling, at)) = member.telling.as_mut().zip(at) else { return false };
        let news = telling.met(who, at);
        if news {
            self.tell(by, Input::SourceFound { source: who });
        }
        news
    }

    /// Tells all takers of `giver` what there is to tell.
    fn spread(&mut self, giver: u32) {
        let Some(member) = self.members.get(giver as usize) else { return };
        for taker in member.takers.keys().copied().collect::<Vec<_>>() {
            self.tell_news(giver, taker);
        }
    }

    /// Tells `taker` what there is to tell, behind the frame that is being sent to it.
    pub(super) fn tell_news(&mut self, giver: u32, taker: u32) {
        let Some(member) = self.members.get_mut(giver as usize) else { return };
        let Some(giving) = member.takers.get_mut(&taker) else { return };
        giving.news = giving.sending;
        if giving.news {
            return;
        }
        let words = member.telling.as_mut().map(|telling| telling.words(taker));
        for word in words.into_iter().flatten() {
            self.say(giver, taker, Word::News(word));
        }
    }

    /// `giver` has told something.
    pub(super) fn on_news(&mut self, taker: u32, giver: u32, news: News) {
        let source = self.id_of(giver);
        match news {
            News::Here(pieces) => self.tell(taker, Input::Has { source, pieces }),
            News::Given(pieces) => self.tell(taker, Input::Given { source, pieces }),
            News::Sources(contacts) => {
                for contact in contacts {
                    self.tell(taker, Input::SourceTold { source: contact.id, by: source });
                }
            }
        }
    }
}
