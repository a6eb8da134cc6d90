//! A request of the host: what the bounds let through is decoded without harm, and keeps to the bounds when it is
//! written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::kata::agent::CreateContainerRequest;
use proto::kata::bounds::{REQUEST_PARTS_MAX, check};
use protobuf::Message as _;

const TYPE: &str = "grpc.CreateContainerRequest";

fuzz_target!(|bytes: &[u8]| {
    if check(TYPE, bytes, REQUEST_PARTS_MAX).is_ok()
        && let Ok(request) = CreateContainerRequest::parse_from_bytes(bytes)
    {
        let written = request.write_to_bytes().unwrap();
        check(TYPE, &written, REQUEST_PARTS_MAX).unwrap();
    }
});
