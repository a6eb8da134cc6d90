//! `passwd` and `group` of a container: names and numbers, whatever the files hold.

#![no_main]

use executor::observe::Users;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|files: (&str, &str, &str)| {
    let (passwd, group, user) = files;
    let users = Users::parse(passwd, group);
    let _found = users.resolve(user);
    assert!(!users.describe(0, 0, vec![1]).user_name.contains(':'));
});
