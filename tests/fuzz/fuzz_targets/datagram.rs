//! Any bytes: a datagram that is a point is still it when written anew, and no point
//! when it is cut or goes on.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skyring::wire::datagram::{BadDatagram, decode};
use skyring::wire::msgpack::Record;

fuzz_target!(|datagram: &[u8]| {
    let said = decode(datagram);
    if let Ok(Ok(point)) = said {
        let mut anew = b"\x92\xdb".to_vec();
        anew.extend((point.name.len() as u32).to_be_bytes());
        anew.extend(point.name);
        anew.extend(Record::new(point.timestamp, point.value).as_bytes());
        // Compared by how they print, so that NaN equals itself.
        assert_eq!(format!("{:?}", decode(&anew)), format!("{said:?}"));
    }
    if said.is_ok() || said == Err(BadDatagram::Shape) {
        let cut = decode(&datagram[..datagram.len() - 1]);
        assert!(matches!(
            cut,
            Err(BadDatagram::Truncated | BadDatagram::Empty)
        ));
        let long = [datagram, b"\xc0"].concat();
        assert_eq!(decode(&long), Err(BadDatagram::TrailingBytes));
    }
});
