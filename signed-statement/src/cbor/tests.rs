use super::read::{DEPTH_MAX, ITEMS_MAX};
use super::*;

fn read_error(bytes: &[u8]) -> CborError {
    read(bytes).unwrap_err()
}

#[test]
fn items_of_each_kind_are_read() {
    let bytes = b"\x88\x18\x64\x38\x63\x42ab\x62ok\xa1\x01\xf5\xd8\x7b\xf6\xfb\0\0\0\0\0\0\0\0\x80";
    let Item::Array(items) = read(bytes).unwrap() else { panic!("no array") };
    assert_eq!(items[0], Item::Integer(100));
    assert_eq!(items[1], Item::Integer(-100));
    assert_eq!(items[2].as_bytes(), Some(&b"ab"[..]));
    assert_eq!(items[3].as_text(), Some("ok"));
    assert_eq!(items[4].as_map().unwrap().number(1), Some(&Item::Bool(true)));
    assert_eq!(items[5], Item::Tagged(123, Box::new(Item::Null)));
    assert_eq!(items[6], Item::Other);
    assert_eq!(items[7].as_array(), Some(&[][..]));
}

#[test]
fn one_value_has_one_encoding() {
    assert_eq!(read_error(b"\x18\x17"), CborError::NotShortest);
    assert_eq!(read_error(b"\x19\x00\xff"), CborError::NotShortest);
    assert_eq!(read_error(b"\x58\x01a"), CborError::NotShortest);
    assert_eq!(read_error(b"\x9f\xff"), CborError::Indefinite);
    assert_eq!(read_error(b"\xff"), CborError::Indefinite);
    assert_eq!(read_error(b"\xf8\x14"), CborError::Malformed);
    assert_eq!(read_error(b"\x1c"), CborError::Malformed);
}

#[test]
fn labels_stand_once_in_a_map() {
    assert_eq!(read_error(b"\xa2\x01\x01\x01\x02"), CborError::DuplicateLabel);
    assert_eq!(read_error(b"\xa2\x61a\x01\x61a\x02"), CborError::DuplicateLabel);
    assert!(read(b"\xa2\x01\x01\x20\x02").is_ok());
}

#[test]
fn nesting_and_number_of_items_are_bounded() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0]].concat();
    assert!(read(&nested(DEPTH_MAX - 1)).is_ok());
    assert_eq!(read_error(&nested(DEPTH_MAX)), CborError::Depth);
    let mut many = vec![0x99];
    many.extend((ITEMS_MAX as u16).to_be_bytes());
    many.extend(vec![0; ITEMS_MAX]);
    assert_eq!(read_error(&many), CborError::Count);
    // A length that promises more than there is costs nothing.
    assert_eq!(read_error(b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff\x00"), CborError::Truncated);
    assert_eq!(read_error(b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff\x00"), CborError::Truncated);
}

#[test]
fn the_item_is_all_there_is() {
    assert_eq!(read_error(b""), CborError::Truncated);
    assert_eq!(read_error(b"\x42a"), CborError::Truncated);
    assert_eq!(read_error(b"\x00\x00\x00"), CborError::Trailing { count: 2 });
    assert_eq!(read_error(b"\x61\xff"), CborError::Text);
}

#[test]
fn what_is_written_is_read() {
    for value in [0, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
        let mut out = Vec::new();
        tag(&mut out, value);
        null(&mut out);
        assert_eq!(read(&out), Ok(Item::Tagged(value, Box::new(Item::Null))));
    }
    let mut out = Vec::new();
    tag(&mut out, 18);
    array(&mut out, 3);
    bytes(&mut out, &[7; 300]);
    text(&mut out, "é");
    map(&mut out, 0);
    let expected = Item::Array(vec![Item::Bytes(&[7; 300]), Item::Text("é"), Item::Map(Map::default())]);
    assert_eq!(read(&out), Ok(Item::Tagged(18, Box::new(expected))));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _read_or_refused = read(&bytes);
    }
}
