//! Device rules in version 2: there is no file for them, but a BPF program that the kernel asks at every open and mknod
//! of a device (`Documentation/admin-guide/cgroup-v2.rst`, "Device controller"; `enum bpf_attach_type` in linux/bpf.h).

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use nix::libc;

use super::{DeviceRule, STANDARD_DEVICES};

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// Destination in the low four bits, source in the high four.
    registers: u8,
    offset: i16,
    immediate: i32,
}

// Codes from linux/bpf_common.h and linux/bpf.h.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE_REGISTER: u8 = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
const MOVE: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const AND: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const JUMP_UNLESS_EQUAL: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

// Registers: 1 is the context at the start; we keep type, access, major and minor in 2 to 5.
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 1;

const ACCESS_MAKE: i32 = 1; // BPF_DEVCG_ACC_MKNOD
const ACCESS_READ: i32 = 2; // BPF_DEVCG_ACC_READ
const ACCESS_WRITE: i32 = 4; // BPF_DEVCG_ACC_WRITE

const fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: destination | source << 4, offset, immediate }
}

/// Every rule is a short block that jumps to the next one when it does not fit, and returns 1 (allowed) at its end.
fn program(rules: impl Iterator<Item = DeviceRule>) -> Vec<Instruction> {
    // struct bpf_cgroup_dev_ctx: access_type (type in the low half, access in the high one), major, minor.
    let mut code = vec![
        instruction(LOAD_WORD, KIND, 1, 0, 0),
        instruction(MOVE_REGISTER, ACCESS, KIND, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, 1, 4, 0),
        instruction(LOAD_WORD, MINOR, 1, 8, 0),
    ];
    for rule in rules {
        let mut block = Vec::new();
        let mut refused = 0;
        for (allowed, bit) in [(rule.make, ACCESS_MAKE), (rule.read, ACCESS_READ), (rule.write, ACCESS_WRITE)] {
            if !allowed {
                refused |= bit;
            }
        }
        block.push(instruction(JUMP_UNLESS_EQUAL, KIND, 0, 0, if rule.kind == 'b' { 1 } else { 2 }));
        if refused != 0 {
            block.push(instruction(MOVE_REGISTER, SCRATCH, ACCESS, 0, 0));
            block.push(instruction(AND, SCRATCH, 0, 0, refused));
            block.push(instruction(JUMP_UNLESS_EQUAL, SCRATCH, 0, 0, 0));
        }
        for (number, register) in [(rule.major, MAJOR), (rule.minor, MINOR)] {
            if let Some(number) = number {
                block.push(instruction(JUMP_UNLESS_EQUAL, register, 0, 0, number as i32));
            }
        }
        block.push(instruction(MOVE, 0, 0, 0, 1));
        block.push(instruction(EXIT, 0, 0, 0, 0));
        let length = block.len();
        for (position, step) in block.iter_mut().enumerate() {
            if step.code == JUMP_UNLESS_EQUAL {
                step.offset = (length - position - 1) as i16;
            }
        }
        code.append(&mut block);
    }
    code.push(instruction(MOVE, 0, 0, 0, 0));
    code.push(instruction(EXIT, 0, 0, 0, 0));
    code
}

/// Makes the standard rules and `extra` the only devices for a cgroup's processes. The program lives as long as the
/// cgroup.
pub(super) fn attach(cgroup: BorrowedFd<'_>, extra: &[DeviceRule]) -> io::Result<()> {
    const PROG_LOAD: libc::c_int = 5;
    const PROG_ATTACH: libc::c_int = 8;
    const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    const CGROUP_DEVICE: u32 = 6;
    #[repr(C)]
    struct Load {
        program_type: u32,
        instruction_count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buffer: u64,
        kernel_version: u32,
        flags: u32,
    }
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        attach_type: u32,
        flags: u32,
    }
    let code = program(STANDARD_DEVICES.into_iter().chain(extra.iter().copied()));
    let load = Load {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        instruction_count: code.len() as u32,
        instructions: code.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: `load` begins as `union bpf_attr` for BPF_PROG_LOAD does, and its size says how far; the code and the
    // licence it points to live through the call.
    let loaded = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const load, size_of::<Load>()) };
    if loaded < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned this descriptor to us alone.
    let program = unsafe { OwnedFd::from_raw_fd(loaded as libc::c_int) };
    let attach = Attach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: CGROUP_DEVICE,
        flags: 0,
    };
    // SAFETY: `attach` begins as `union bpf_attr` for BPF_PROG_ATTACH does; both descriptors are open.
    if unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw const attach, size_of::<Attach>()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::fd::AsFd, path::Path};

    use super::*;

    #[test]
    fn every_jump_of_the_program_leads_to_the_next_rule() {
        let rule = DeviceRule { kind: 'c', major: Some(1), minor: Some(3), read: true, write: true, make: true };
        let code = program([rule].into_iter());
        let jumps: Vec<i16> =
            code.iter().filter(|step| step.code == JUMP_UNLESS_EQUAL).map(|step| step.offset).collect();
        assert_eq!(jumps, [4, 3, 2]);
        assert_eq!(code.len(), 6 + 5 + 2);
    }

    /// Needs root and version 2 mounted, alone or beside version 1.
    #[test]
    fn the_kernel_accepts_the_program() {
        let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .into_iter()
            .map(Path::new)
            .find(|root| root.join("cgroup.controllers").exists());
        let Some(root) = root.filter(|_| nix::unistd::geteuid().is_root()) else { return };
        let directory = root.join(format!("docklab-device-test-{}", std::process::id()));
        fs::create_dir(&directory).expect("create cgroup");
        let opened = fs::File::open(&directory).expect("open cgroup");
        let attached = attach(opened.as_fd(), &[]);
        fs::remove_dir(&directory).expect("remove cgroup");
        attached.expect("the verifier accepts it");
    }
}
