//! The layout of the file. That others read it is the black-box tests' affair.

use super::*;

/// Kinds and contents of the records between two offsets.
fn records(file: &[u8], mut at: usize, end: usize) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while at < end {
        let length = u64::from_le_bytes(file[at + 1..at + 9].try_into().unwrap()) as usize;
        found.push((file[at], &file[at + 9..at + 9 + length]));
        at += 9 + length;
    }
    assert_eq!(at, end);
    found
}

fn long(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

#[test]
fn the_summary_leads_to_every_chunk() {
    let mut own = Container::new(Vec::new(), "ros2").unwrap();
    own.metadata("tessera", &BTreeMap::from([("sequence".to_owned(), "drive".to_owned())])).unwrap();
    let schema = own.schema(&Schema { name: "A", encoding: "ros2msg", text: "int32 a" }).unwrap();
    let channel = own.channel(schema, "/a", "cdr", &BTreeMap::new()).unwrap();
    let mut state = 1u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let noise: Vec<u8> = (0..3_000_000).map(|_| noise()).collect();
    for time in 0..4 {
        own.message(channel, time, if time < 2 { &noise } else { &[7; 3_000_000] }).unwrap();
    }
    let file = own.finish().unwrap();
    let footer = file.len() - 8 - 29;
    let (summary, offsets) = (long(&file, footer + 9), long(&file, footer + 17));
    let data = records(&file, 8, summary);
    let kinds: Vec<u8> = data.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            op::HEADER,
            op::METADATA,
            op::SCHEMA,
            op::CHANNEL,
            op::CHUNK,
            op::MESSAGE_INDEX,
            op::CHUNK,
            op::MESSAGE_INDEX,
            op::DATA_END
        ]
    );
    let sizes: Vec<usize> = data.iter().filter(|(kind, _)| *kind == op::CHUNK).map(|(_, chunk)| chunk.len()).collect();
    assert!(sizes[0] > 6_000_000 && sizes[1] < 100_000, "{sizes:?}");
    for (kind, index) in records(&file, summary, offsets) {
        if kind == op::CHUNK_INDEX {
            assert_eq!(file[long(index, 16)], op::CHUNK);
            assert_eq!(long(&file, long(index, 16) + 1) + 9, long(index, 24));
        }
    }
    let mut crc = Crc::new();
    crc.update(&file[summary..footer + 25]);
    assert_eq!(crc.sum().to_le_bytes(), file[footer + 25..footer + 29]);
    assert_eq!(file[file.len() - 8..], MAGIC);
}

#[test]
fn a_file_without_messages_is_whole_too() {
    let file = Container::new(Vec::new(), "").unwrap().finish().unwrap();
    assert_eq!(file[..8], file[file.len() - 8..]);
}
