//! 32 bytes as 52 lower-case letters and digits, which no eye confuses and no shell minds.

/// Characters of the text.
pub const TEXT_LEN: usize = 52;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The text of `bytes`.
#[must_use]
pub fn encode(bytes: &[u8; 32]) -> String {
    let mut text = String::with_capacity(TEXT_LEN);
    let (mut bits, mut count) = (0u32, 0u32);
    for &byte in bytes {
        bits = (bits << 8) | u32::from(byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(symbol(bits >> count));
        }
    }
    if count > 0 {
        text.push(symbol(bits << (5 - count)));
    }
    text
}

fn symbol(bits: u32) -> char {
    let index = (bits & 31) as usize;
    ALPHABET.get(index).map_or('a', |&byte| char::from(byte))
}

/// The bytes of `text`, in letters of either case; none when it is the text of none.
#[must_use]
pub fn decode(text: &str) -> Option<[u8; 32]> {
    if text.len() != TEXT_LEN {
        return None;
    }
    let mut bytes = Vec::with_capacity(33);
    let (mut bits, mut count) = (0u32, 0u32);
    for symbol in text.bytes() {
        let lower = symbol.to_ascii_lowercase();
        let value = ALPHABET.iter().position(|&a| a == lower)?;
        bits = (bits << 5) | u32::try_from(value).ok()?;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    // 52 x 5 = 260 bits: the last four must be zero, or two texts would name one.
    if bits & ((1 << count) - 1) != 0 {
        return None;
    }
    bytes.try_into().ok()
}
