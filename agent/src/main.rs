//! The in-guest agent: takes container requests of an untrusted host, asks the tenant's measured policy,
//! and only then touches the kernel.
//!
//! Modules follow the way of a request: `transport` → `request` → `decision` → (executor) → `reply`.

#![forbid(unsafe_code)]

mod boot;
mod decision;
mod foundation;
mod inventory;
mod pull;
mod reply;
mod request;
mod serve;
mod telemetry;
mod transport;
mod workload;

use std::process::ExitCode;

use executor::boot::MayPowerOff;
use policy_engine::authority::BootAuthority;

use boot::Role;
use telemetry::HOST;

fn main() -> ExitCode {
    telemetry::start();
    let Some(role) = role() else {
        tracing::error!(target: HOST, "usage: cce-agent --config FILE");
        return ExitCode::from(2);
    };
    let Some(authority) = BootAuthority::take() else { return ExitCode::FAILURE };
    let booted = match boot::run(authority, &role) {
        Ok(booted) => booted,
        Err((error, authority)) => {
            tracing::error!(target: HOST, "the guest does not open its door: {}", reply::chain(&error));
            return end(&role, &authority, ExitCode::FAILURE);
        }
    };
    match serve::run(booted) {
        Ok(granted) => end(&role, &granted, ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!(target: HOST, "the guest stops: {}", reply::chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// PID 1 has nowhere to return to: the guest is switched off. Where even that fails, its exit is the kernel's
/// panic, which ends the guest as well.
fn end(role: &Role, right: &impl MayPowerOff, code: ExitCode) -> ExitCode {
    if *role == Role::Init {
        let _still_on = executor::boot::power_off(right);
    }
    code
}

/// An ordinary process is told its configuration file; the kernel starts PID 1 of a guest without one.
fn role() -> Option<Role> {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(option), Some(config), None) if option == "--config" || option == "-c" => {
            Some(Role::Process { config: config.into() })
        }
        _ => (std::process::id() == 1).then_some(Role::Init),
    }
}
