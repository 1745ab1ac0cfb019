//! Who a process runs as: names are looked up in the *container's* /etc/passwd and /etc/group, so this runs after the
//! root has been changed. The rules are those of moby's `user` package (`GetExecUser`).

use std::{fs, io};

use docklab_host::{HostError, HostResult, User};
use nix::{
    libc,
    unistd::{self, Gid, Uid},
};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

impl Identity {
    /// Reads the root file system's user database. An image without one has only numbers.
    pub(crate) fn look_up(user: &User) -> HostResult<Self> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let group = fs::read_to_string("/etc/group").unwrap_or_default();
        Self::find(user, &passwd, &group)
    }

    fn find(user: &User, passwd: &str, group: &str) -> HostResult<Self> {
        let (name, group_name) = match user.spec.split_once(':') {
            Some((name, group_name)) => (name, Some(group_name).filter(|name| !name.is_empty())),
            None => (user.spec.as_str(), None),
        };
        let name = if name.is_empty() { "0" } else { name };
        let number = name.parse::<u32>().ok();
        let entry = passwd
            .lines()
            .filter_map(PasswdEntry::parse)
            .find(|entry| entry.name == name || number.is_some_and(|number| entry.uid == number));
        let mut identity = match (&entry, number) {
            (Some(entry), _) => {
                Self { uid: entry.uid, gid: entry.gid, groups: Vec::new(), home: entry.home.to_owned() }
            }
            (None, Some(uid)) => Self { uid, gid: 0, groups: Vec::new(), home: "/".to_owned() },
            (None, None) => return Err(HostError::NoSuchUser(name.to_owned())),
        };
        let groups: Vec<GroupEntry> = group.lines().filter_map(GroupEntry::parse).collect();
        let find_group = |wanted: &str| {
            groups
                .iter()
                .find(|group| group.name == wanted)
                .map(|group| group.gid)
                .or_else(|| wanted.parse().ok())
                .ok_or_else(|| {
                    HostError::Other(format!("unable to find group {wanted}: no matching entries in group file"))
                })
        };
        match (group_name, &entry) {
            (Some(wanted), _) => identity.gid = find_group(wanted)?,
            (None, Some(entry)) => {
                let member = |group: &&GroupEntry| group.members.split(',').any(|member| member == entry.name);
                identity.groups = groups.iter().filter(member).map(|group| group.gid).collect();
            }
            (None, None) => {}
        }
        for wanted in &user.additional_groups {
            let gid = find_group(wanted)?;
            if !identity.groups.contains(&gid) {
                identity.groups.push(gid);
            }
        }
        if identity.home.is_empty() {
            identity.home = "/".to_owned();
        }
        Ok(identity)
    }

    /// Groups first: without root's power they could not be changed any more.
    pub(crate) fn assume(&self) -> io::Result<()> {
        // The primary group is one of the supplementary ones too, as in Docker: a set-group-ID program that changes the
        // primary one does not take it away.
        let others = self.groups.iter().copied().filter(|gid| *gid != self.gid);
        let groups: Vec<Gid> = std::iter::once(self.gid).chain(others).map(Gid::from_raw).collect();
        unistd::setgroups(&groups)?;
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        unistd::setresgid(gid, gid, gid)?;
        unistd::setresuid(uid, uid, uid)?;
        Ok(())
    }

    /// Gives the process's standard streams to the user, so that /dev/stderr can be opened again by name.
    pub(crate) fn own_standard_streams(&self) {
        for descriptor in 0..3 {
            // SAFETY: fchown(2) takes numbers only; a descriptor that is closed is answered with EBADF.
            // Failure (a read-only pipe's file system, /dev/null in a bind) leaves the owner as it was: nothing breaks.
            unsafe { libc::fchown(descriptor, self.uid, u32::MAX) };
        }
    }
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> PasswdEntry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        fields.next()?;
        let uid = fields.next()?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        fields.next();
        Some(Self { name, uid, gid, home: fields.next().unwrap_or_default() })
    }
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> GroupEntry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        fields.next()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { name, gid, members: fields.next().unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:\naudio:x:29:bob,ann\n";

    fn find(spec: &str, additional: &[&str]) -> HostResult<(u32, u32, Vec<u32>, String)> {
        let user = User {
            spec: spec.to_owned(),
            additional_groups: additional.iter().map(|name| (*name).to_owned()).collect(),
        };
        Identity::find(&user, PASSWD, GROUP).map(|found| (found.uid, found.gid, found.groups, found.home))
    }

    #[test]
    fn names_and_numbers_are_found_as_docker_finds_them() {
        let home = |path: &str| path.to_owned();
        assert_eq!(find("", &[]), Ok((0, 0, vec![], home("/root"))));
        assert_eq!(find("ann", &[]), Ok((1000, 100, vec![29], home("/home/ann"))));
        assert_eq!(find("1000:audio", &[]), Ok((1000, 29, vec![], home("/home/ann"))));
        assert_eq!(find("4711", &["audio", "5"]), Ok((4711, 0, vec![29, 5], home("/"))));
        assert_eq!(find("4711:12", &[]), Ok((4711, 12, vec![], home("/"))));
        assert_eq!(find("eve", &[]), Err(HostError::NoSuchUser("eve".to_owned())));
        assert!(find("ann:band", &[]).is_err());
    }
}
