//! Static programs without a C library, in x86-64 machine code: containers have no other that make these system calls.

use vm::machine_code::{DATA_ADDRESS, VSOCK_ADDRESS_SIZE, VSOCK_FAMILY, executable, vsock_address};

/// A program that makes one system call with zeros for arguments, and ends with its error number.
pub(crate) fn system_call(number: u32) -> Vec<u8> {
    // The kernel clears registers at the start of a program. mov eax, number; syscall; neg eax
    let call = [&[0xb8][..], &number.to_le_bytes(), &[0x0f, 0x05, 0xf7, 0xd8]].concat();
    executable(&[], &[&call[..], &EXIT].concat())
}

/// Ends with the number in eax: mov edi, eax; mov eax, 60; syscall
const EXIT: [u8; 9] = [0x89, 0xc7, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];

/// A place on vsock: context id and port.
pub(crate) type Place = (u32, u32);

/// A program that takes a place on vsock for its own, and ends with the error number, 0 for none.
pub(crate) fn bind((context, port): Place) -> Vec<u8> {
    on_socket(&vsock_address(context, port), &[&call(49, &ADDRESS_OF_DATA), &OR_EXIT[..]].concat())
}

/// A program that connects to a place on vsock, sends the request, and prints the start of an answer. It ends with the
/// error number of the connection or of the read, 0 for none.
pub(crate) fn dial((context, port): Place, request: &[u8]) -> Vec<u8> {
    let start = DATA_ADDRESS + u32::from(VSOCK_ADDRESS_SIZE);
    let size = u32::try_from(request.len()).unwrap();
    let connect = call(42, &ADDRESS_OF_DATA);
    // sendto(ebx, request, size, MSG_NOSIGNAL, 0, 0): the answer, or that there is none, says how it went.
    let no_signal = [&[0x41, 0xba][..], &0x4000_u32.to_le_bytes()].concat();
    let send = call(44, &[&word(0xbe, start)[..], &word(0xba, size), &no_signal].concat());
    // read(ebx, rsp - 256, 256), on the stack: sub rsp, 256; mov rsi, rsp
    let read = call(0, &[&[0x48, 0x81, 0xec, 0, 1, 0, 0, 0x48, 0x89, 0xe6][..], &word(0xba, 256)].concat());
    // write(1, rsp, what was read): mov edx, eax; mov ebx, 1; mov rsi, rsp
    let write = [&[0x89, 0xc2][..], &word(0xbb, 1), &call(1, &[0x48, 0x89, 0xe6])].concat();
    let code = [&connect, &OR_EXIT[..], &send, &read, &OR_EXIT, &write].concat();
    on_socket(&[&vsock_address(context, port)[..], request].concat(), &code)
}

/// Goes on unless eax has an error, with which it ends: test eax, eax; jns; neg eax, and [`EXIT`].
const OR_EXIT: [u8; 15] = [0x85, 0xc0, 0x79, 11, 0xf7, 0xd8, 0x89, 0xc7, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
/// mov esi, the start of the data; mov edx, the size of an address
const ADDRESS_OF_DATA: [u8; 10] = {
    let [a, b, c, d] = DATA_ADDRESS.to_le_bytes();
    [0xbe, a, b, c, d, 0xba, VSOCK_ADDRESS_SIZE, 0, 0, 0]
};

/// A program with a socket in ebx that runs `code` and ends with 0.
fn on_socket(data: &[u8], code: &[u8]) -> Vec<u8> {
    // socket(AF_VSOCK, SOCK_STREAM, 0): mov edi; mov esi; xor edx, edx; mov eax, 41; syscall
    let arguments = [&word(0xbf, VSOCK_FAMILY.into())[..], &word(0xbe, 1), &[0x31, 0xd2]].concat();
    let socket = [&arguments[..], &word(0xb8, 41), &[0x0f, 0x05]].concat();
    // mov ebx, eax, and at the end xor eax, eax
    executable(data, &[&socket, &OR_EXIT[..], &[0x89, 0xc3], code, &[0x31, 0xc0], &EXIT].concat())
}

/// A system call whose first argument is ebx: the other arguments; mov edi, ebx; mov eax, number; syscall
fn call(number: u32, others: &[u8]) -> Vec<u8> {
    [others, &[0x89, 0xdf], &word(0xb8, number), &[0x0f, 0x05]].concat()
}

/// An instruction with a number: mov eax is 0xb8, edx 0xba, ebx 0xbb, esi 0xbe, edi 0xbf.
fn word(instruction: u8, number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_le_bytes();
    [instruction, a, b, c, d]
}
