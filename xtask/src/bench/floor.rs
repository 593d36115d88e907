//! The floor: a program that does nothing, at the hook that all tools share. What it costs is the kernel's
//! part (the call, and the clock reads of the statistics), not a tool's.

use anyhow::{Context as _, Result};
use aya::{Btf, Ebpf, EbpfLoader, programs::BtfTracePoint};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    write::{Object, Symbol, SymbolSection},
};

const HOOK: &str = "inet_sock_set_state";
const NAME: &str = "noop";

/// `r0 = 0; exit`: the least that the verifier takes.
const INSTRUCTIONS: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// The program, attached until this is dropped.
pub struct Floor {
    object: Ebpf,
}

impl Floor {
    /// Loads and attaches it.
    pub fn attach(types: &Btf) -> Result<Self> {
        let bytes = elf().context("cannot write the object of the no-op program")?;
        let mut object = EbpfLoader::new().load(&bytes).context("cannot load the no-op program")?;
        let program = program(&mut object)?;
        program.load(HOOK, types).context("the kernel refused the no-op program")?;
        program.attach().context("cannot attach the no-op program")?;
        Ok(Self { object })
    }

    /// Its id.
    pub fn id(&mut self) -> Result<u32> {
        let info = program(&mut self.object)?.info().context("cannot ask for the no-op program's id")?;
        Ok(info.id())
    }
}

fn program(object: &mut Ebpf) -> Result<&mut BtfTracePoint> {
    let program = object.program_mut(NAME).context("the no-op program is not in its own object")?;
    program.try_into().context("the no-op program is of another type")
}

/// The object file, by hand: two instructions are not worth a compiler.
fn elf() -> object::write::Result<Vec<u8>> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let section = object.add_section(Vec::new(), format!("tp_btf/{HOOK}").into_bytes(), SectionKind::Text);
    let value = object.append_section_data(section, &INSTRUCTIONS, 8);
    object.add_symbol(Symbol {
        name: NAME.into(),
        value,
        size: INSTRUCTIONS.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    let license = object.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    object.append_section_data(license, b"GPL\0", 1);
    object.write()
}
