//! A line as a QR code of half blocks, for a telephone's camera.

use qrcode::{Color, EcLevel, QrCode};

use crate::servent::invitation_line;
use crate::servent::report::InvitationReport;

/// Most columns that a code takes: those of the narrowest usual terminal.
const MAX_COLUMNS: usize = 80;
/// The white border: less than the standard's four, and enough for cameras.
const BORDER: usize = 2;
/// White on black, whatever the terminal's own colours: blocks are drawn where it is white.
const COLOURS: &str = "\x1b[38;5;231;48;5;16m";
const NO_COLOURS: &str = "\x1b[0m";

/// The code of an invitation, with as many of its addresses as fit, and how many did not.
/// Without `colour` it is right on a dark terminal, and inverted on a light one.
#[must_use]
pub fn invitation_code(invitation: &InvitationReport, colour: bool) -> Option<(String, usize)> {
    let InvitationReport { line, id, addresses, .. } = invitation;
    let key = line.split_once('#').map(|(_, key)| format!("#{key}")).unwrap_or_default();
    (1..=addresses.len().max(1)).rev().find_map(|count| {
        let some = addresses.get(..count).unwrap_or_default();
        let code = code(&format!("{}{key}", invitation_line(*id, some, None)), colour)?;
        Some((code, addresses.len().saturating_sub(count)))
    })
}

/// `text` as a code; none when it does not fit.
fn code(text: &str, colour: bool) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let whole = width + 2 * BORDER;
    if whole > MAX_COLUMNS {
        return None;
    }
    let modules = code.to_colors();
    let is_white = |x: usize, y: usize| {
        let inside = x.checked_sub(BORDER).filter(|x| *x < width);
        let at = inside.zip(y.checked_sub(BORDER).filter(|y| *y < width));
        let module = at.and_then(|(x, y)| modules.get(y * width + x));
        y < whole && module != Some(&Color::Dark)
    };
    let mut drawn = String::new();
    for y in (0..whole).step_by(2) {
        let row = (0..whole).map(|x| match (is_white(x, y), is_white(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        });
        let row: String = row.collect();
        match colour {
            true => drawn.push_str(&format!("{COLOURS}{row}{NO_COLOURS}\n")),
            false => drawn.push_str(&format!("{row}\n")),
        }
    }
    Some(drawn)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::base::ServentId;
    use crate::servent::NetworkKey;

    fn invitation(addresses: &[&str], key: bool) -> InvitationReport {
        let id = ServentId([7; 32]);
        let addresses: Vec<SocketAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let key = key.then(|| NetworkKey::from_contents(b"ours"));
        InvitationReport {
            line: invitation_line(id, &addresses, key.as_ref()),
            id,
            addresses,
            private: key.is_some(),
            with_key: key.is_some(),
            qr: true,
            notes: Vec::new(),
        }
    }

    /// What a camera reads off the drawing.
    fn read(drawn: &str) -> String {
        let rows: Vec<Vec<char>> = drawn.lines().map(|line| line.chars().collect()).collect();
        // Several pixels a module, as a camera has.
        const SCALE: usize = 4;
        let white = |x: usize, y: usize| match rows[y / 2][x] {
            '█' => true,
            '▀' => y.is_multiple_of(2),
            '▄' => !y.is_multiple_of(2),
            _ => false,
        };
        let side = rows[0].len();
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(side * SCALE, side * SCALE, |x, y| {
                if white(x / SCALE, y / SCALE) { 255 } else { 0 }
            });
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1, "{drawn}");
        grids[0].decode().unwrap().1
    }

    #[test]
    fn a_camera_reads_the_line_off_the_screen() {
        for key in [false, true] {
            let invitation = invitation(&["192.0.2.7:7272", "[2001:db8::1]:7272"], key);
            let (drawn, left_out) = invitation_code(&invitation, false).unwrap();
            assert_eq!((read(&drawn), left_out), (invitation.line, 0));
        }
    }

    #[test]
    fn a_code_fits_eighty_columns_with_as_many_addresses_as_can_be() {
        let long = "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535";
        let invitation = invitation(&[long; 8], true);
        let (drawn, left_out) = invitation_code(&invitation, false).unwrap();
        assert!(drawn.lines().all(|line| line.chars().count() <= MAX_COLUMNS), "{drawn}");
        assert!((1..4).contains(&left_out), "{left_out}");
        let line = read(&drawn);
        assert!(invitation.line.ends_with(line.split_once('#').unwrap().1), "the key stays");
        assert_eq!(line.matches(long).count(), 8 - left_out);
    }

    #[test]
    fn colours_change_nothing_of_the_drawing() {
        let invitation = invitation(&["192.0.2.7:7272"], false);
        let plain = invitation_code(&invitation, false).unwrap().0;
        let coloured = invitation_code(&invitation, true).unwrap().0;
        assert_ne!(plain, coloured);
        assert_eq!(coloured.replace(COLOURS, "").replace(NO_COLOURS, ""), plain);
    }
}
