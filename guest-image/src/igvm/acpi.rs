//! ACPI tables of the launch. They are measured: bytecode that the kernel runs does not come from the host. They
//! describe what Cloud Hypervisor's machines have and the image uses: processors, interrupt controllers, one PCI bus,
//! one serial port, and the register that switches off.

use acpi_tables::{
    Aml,
    aml::{
        AddressSpace, AddressSpaceCacheable, Device, EISAName, IO, Interrupt, Name, Package, ResourceTemplate,
    },
    fadt::{FADTBuilder, Flags},
    gas::{AccessSize, AddressSpace as RegisterSpace, GAS},
    madt::{EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic},
    rsdp::Rsdp,
    sdt::Sdt,
    xsdt::XSDT,
};

use super::{IgvmError, memory::Memory};

const OEM_ID: [u8; 6] = *b"CCEIMG";
const OEM_TABLE_ID: [u8; 8] = *b"CCEIGVM ";
const OEM_REVISION: u32 = 1;

const LOCAL_APIC: u32 = 0xfee0_0000;
const IO_APIC: u32 = 0xfec0_0000;
const SERIAL_PORT: u16 = 0x3f8;
const SERIAL_INTERRUPT: u32 = 4;
/// Cloud Hypervisor's port for reset and power off.
const POWER_PORT: u64 = 0x600;
/// What the power port takes as a wish to switch off (`SLP_TYP`), and to reset.
const SLEEP_TYPE_OFF: u8 = 5;
const RESET: u8 = 1;
/// Its timer, by which the kernel measures its processor's clock where the hypervisor does not tell it.
const TIMER_PORT: u64 = 0x608;
const TIMER_LEN: u8 = 4;
/// Where devices below 4 GiB may have their registers.
const PCI_WINDOW_32: (u32, u32) = (0xc000_0000, 0xe7ff_ffff);
/// Last address of a device above: addresses have 46 bits, and the top 4 GiB are the machine's own.
const PCI_WINDOW_64_LAST: u64 = 0x3ffe_ffff_ffff;
/// Local APIC identities of a table entry have eight bits, and the last one means all.
const MAX_PROCESSORS: u32 = 254;

/// Tables are aligned as the specification asks of the largest of them.
const ALIGNMENT: u64 = 64;

/// The tables, to be put at one address. The first is the root pointer.
pub(super) fn tables(address: u64, vcpus: u32, memory: &Memory) -> Result<Vec<u8>, IgvmError> {
    let mut file = TableFile { address, bytes: Vec::new() };
    // The root pointer needs the address of what it points to, and has one size: it is written over at the end.
    file.add(&Rsdp::new(OEM_ID, 0))?;
    let dsdt = file.add(&devices(memory))?;
    let fadt = file.add(&fixed_description(dsdt))?;
    let madt = file.add(&interrupts(vcpus)?)?;
    let mut index = XSDT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    index.add_entry(fadt);
    index.add_entry(madt);
    let index = file.add(&index)?;
    let root = bytes_of(&Rsdp::new(OEM_ID, index));
    for (byte, value) in file.bytes.iter_mut().zip(root) {
        *byte = value;
    }
    Ok(file.bytes)
}

struct TableFile {
    address: u64,
    bytes: Vec<u8>,
}

impl TableFile {
    /// Appends a table and returns its guest physical address.
    fn add(&mut self, table: &dyn Aml) -> Result<u64, IgvmError> {
        let too_large = || IgvmError::DoesNotFit { what: "the ACPI tables" };
        let offset = self.bytes.len().checked_next_multiple_of(ALIGNMENT as usize).ok_or_else(too_large)?;
        self.bytes.resize(offset, 0);
        table.to_aml_bytes(&mut self.bytes);
        u64::try_from(offset).ok().and_then(|offset| self.address.checked_add(offset)).ok_or_else(too_large)
    }
}

fn bytes_of(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

/// FADT of a machine without ACPI's fixed hardware, but for its timer.
fn fixed_description(dsdt: u64) -> acpi_tables::fadt::FADT {
    let power_port = GAS::new(RegisterSpace::SystemIo, 8, 0, AccessSize::ByteAccess, POWER_PORT);
    let mut table = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION)
        .dsdt_64(dsdt)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::ResetRegSup)
        .flag(Flags::TmrValExt)
        .flag(Flags::Headless);
    table.reset_reg = power_port;
    table.reset_value = RESET;
    table.sleep_control_reg = power_port;
    table.sleep_status_reg = power_port;
    table.pm_tmr_len = TIMER_LEN;
    table.x_pm_tmr_blk = GAS::new(RegisterSpace::SystemIo, 32, 0, AccessSize::DwordAccess, TIMER_PORT);
    table.finalize()
}

/// MADT: the processors that the guest may start, and no others.
fn interrupts(vcpus: u32) -> Result<MADT, IgvmError> {
    if vcpus == 0 || vcpus > MAX_PROCESSORS {
        return Err(IgvmError::Processors { vcpus, limit: MAX_PROCESSORS });
    }
    let controller = LocalInterruptController::Address(LOCAL_APIC);
    let mut table = MADT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION, controller);
    for number in (0..=u8::MAX).take_while(|&number| u32::from(number) < vcpus) {
        table.add_structure(ProcessorLocalApic::new(number, number, EnabledStatus::Enabled));
    }
    table.add_structure(IoApic::new(0, IO_APIC, 0));
    Ok(table)
}

/// DSDT: devices that cannot be found otherwise.
fn devices(memory: &Memory) -> Sdt {
    let root_bus = EISAName::new("PNP0A08");
    let any_root_bus = EISAName::new("PNP0A03");
    let zero = 0_u8;
    let one = 1_u8;
    let buses = AddressSpace::new_bus_number(0_u16, 0xff_u16);
    let configuration = IO::new(0xcf8, 0xcf8, 1, 8);
    let (low_first, low_last) = PCI_WINDOW_32;
    let low_window =
        AddressSpace::new_memory(AddressSpaceCacheable::NotCacheable, true, low_first, low_last, None);
    let high_window = AddressSpace::new_memory(
        AddressSpaceCacheable::NotCacheable,
        true,
        memory.above_4_gib().end,
        PCI_WINDOW_64_LAST,
        None,
    );
    let low_ports = AddressSpace::new_io(0_u16, 0xcf7, None);
    let high_ports = AddressSpace::new_io(0xd00_u16, 0xffff, None);
    let bus_resources = ResourceTemplate::new(vec![
        &buses,
        &configuration,
        &low_window,
        &high_window,
        &low_ports,
        &high_ports,
    ]);
    let bus_identity = Name::new("_HID".into(), &root_bus);
    let bus_compatibility = Name::new("_CID".into(), &any_root_bus);
    let bus_address = Name::new("_ADR".into(), &zero);
    let bus_segment = Name::new("_SEG".into(), &zero);
    let bus_number = Name::new("_UID".into(), &zero);
    // Devices see what the processor's caches hold.
    let bus_coherency = Name::new("_CCA".into(), &one);
    let bus_resources = Name::new("_CRS".into(), &bus_resources);
    let bus = Device::new(
        "_SB_.PCI0".into(),
        vec![
            &bus_identity,
            &bus_compatibility,
            &bus_address,
            &bus_segment,
            &bus_number,
            &bus_coherency,
            &bus_resources,
        ],
    );

    let uart = EISAName::new("PNP0501");
    let uart_ports = IO::new(SERIAL_PORT, SERIAL_PORT, 0, 8);
    let uart_interrupt = Interrupt::new(true, true, false, false, SERIAL_INTERRUPT);
    let uart_resources = ResourceTemplate::new(vec![&uart_interrupt, &uart_ports]);
    let uart_identity = Name::new("_HID".into(), &uart);
    let uart_number = Name::new("_UID".into(), &zero);
    let uart_resources = Name::new("_CRS".into(), &uart_resources);
    let serial = Device::new("_SB_.COM1".into(), vec![&uart_identity, &uart_number, &uart_resources]);

    let off = SLEEP_TYPE_OFF;
    let off_state = Package::new(vec![&off, &zero]);
    let off_state = Name::new("_S5_".into(), &off_state);

    let mut table = Sdt::new(*b"DSDT", 36, 6, OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    for part in [&off_state as &dyn Aml, &bus, &serial] {
        table.append_slice(&bytes_of(part));
    }
    table
}
