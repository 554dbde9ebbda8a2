//! HTTP/2 frames made by hand: what no client library would send.

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// Settings: how many bytes of an answer the peer takes unasked.
pub const INITIAL_WINDOW: u16 = 4;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

pub fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let pair = |(key, value): &(u16, u32)| [&key.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(
        SETTINGS,
        0,
        0,
        &pairs.iter().flat_map(pair).collect::<Vec<_>>(),
    )
}

pub fn ping() -> Vec<u8> {
    frame(PING, 0, 0, b"12345678")
}

pub fn reset(stream: u32) -> Vec<u8> {
    frame(RESET, 0, stream, &8_u32.to_be_bytes())
}

pub fn data(stream: u32, bytes: &[u8], flags: u8) -> Vec<u8> {
    frame(DATA, flags, stream, bytes)
}

/// The head of a POST with further fields, uncompressed.
pub fn request(stream: u32, path: &str, fields: &[(&str, &str)], flags: u8) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // Method POST, scheme http, path and authority, by the numbers of the static table.
    let mut block = vec![0x83, 0x86, 0x04];
    block.extend(text(path));
    block.push(0x01);
    block.extend(text("relay"));
    for (name, value) in fields {
        block.push(0);
        block.extend([text(name), text(value)].concat());
    }
    frame(HEADERS, flags, stream, &block)
}

/// More of a head that does not end.
pub fn continuation(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(CONTINUATION, 0, stream, bytes)
}
