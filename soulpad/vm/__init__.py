"""The virtual machine: what libvirt is told (domain), and the telling (hypervisor, the only importer of libvirt)."""
