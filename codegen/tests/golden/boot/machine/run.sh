#!/bin/sh
# Runs the appliance `boot` under QEMU, without unikgen.
# Port N of the guest is published as 127.0.0.1:(8000 + N).
image="$(dirname "$0")/image.elf"
if [ -w /dev/kvm ]; then accel="kvm -cpu max,-arch-capabilities"; else accel="tcg -cpu max"; fi
# $accel is two words on purpose.
exec qemu-system-x86_64 -accel $accel \
    -M microvm,rtc=on,pic=off,pit=off,acpi=off -global virtio-mmio.force-legacy=false \
    -kernel "$image" -nodefaults -no-user-config -nographic -serial stdio -no-reboot \
    -device isa-debug-exit,iobase=0xf4,iosize=0x04 -m 16 \
    -netdev "user,id=card,hostfwd=tcp:127.0.0.1:8080-:80" -device virtio-net-device,netdev=card \
    -netdev "user,id=other,hostfwd=tcp:127.0.0.1:8080-:80" -device virtio-net-device,netdev=other "$@"
