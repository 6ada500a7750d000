#!/usr/bin/env python3
"""Boots bringup in every case of cases.txt, on each machine under each accelerator, and
prints a table. Usage: boot.py [--image ELF] [--only WORD] [--accel kvm,tcg] [--machine microvm,microvm-pcie,q35]"""

import argparse
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ENDINGS = {"done": 33, "failed": 35, "panic": 235, "fault": 237}
MACHINES = {
    "microvm": ["-M", "microvm,rtc=off,pic=off,pit=off,acpi=off"],
    "microvm-pcie": ["-M", "microvm,pcie=on,rtc=off,pic=off,pit=off", "-bios", "qboot.rom"],
    "q35": ["-M", "q35"],
}


def cases(path):
    for line in open(path):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        what, ending, text = (part.strip() for part in line.split("|", 2))
        boot_line, _, rest = what.partition("@")
        arguments = dict(part.partition("=")[::2] for part in rest.split())
        yield boot_line.strip(), arguments, ending, text


def command(image, accel, machine, boot_line, arguments):
    cpu = "max,-arch-capabilities" if accel == "kvm" else "max"
    line = ["qemu-system-x86_64", "-accel", accel, "-cpu", cpu, *MACHINES[machine]]
    line += ["-global", "virtio-mmio.force-legacy=false", "-nodefaults", "-no-user-config"]
    line += ["-nographic", "-serial", "stdio", "-no-reboot", "-kernel", image]
    line += ["-append", boot_line, "-m", arguments.get("mem", "16")]
    line += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    if "rng" in arguments:
        kind = "virtio-rng-device" if machine == "microvm" else "virtio-rng-pci,disable-legacy=on"
        line += ["-object", "rng-random,id=r0,filename=/dev/urandom", "-device", f"{kind},rng=r0"]
    return line


def run(line, ending, text):
    start = time.time()
    try:
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        status, output = done.returncode, done.stdout.decode(errors="replace")
        output = output.replace("\r\n", "\n")
        errors = done.stderr.decode(errors="replace").strip()
    except subprocess.TimeoutExpired as expired:
        status, output, errors = None, (expired.stdout or b"").decode(errors="replace"), ""
    took = time.time() - start
    good = status == ENDINGS[ending] and re.search(text, output)
    return bool(good), status, output, errors, took


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image")
    parser.add_argument("--only", default="")
    parser.add_argument("--accel", default="kvm,tcg")
    parser.add_argument("--machine", default="microvm,microvm-pcie,q35")
    parser.add_argument("--output", action="store_true", help="print what each guest printed")
    options = parser.parse_args()
    image = options.image or subprocess.check_output([HERE + "/build.sh"], text=True).strip()
    columns = [(a, m) for a in options.accel.split(",") for m in options.machine.split(",")]
    print(f"{'':52}" + " ".join(f"{a + '/' + m:>16}" for a, m in columns))
    failures = []
    for boot_line, arguments, ending, text in cases(HERE + "/cases.txt"):
        name = boot_line + "".join(f" {k}{'=' + v if v else ''}" for k, v in arguments.items())
        if options.only not in name:
            continue
        row = []
        for accel, machine in columns:
            if arguments.get("accel", accel) != accel:
                row.append("-")
                continue
            line = command(image, accel, machine, boot_line, arguments)
            good, status, output, errors, took = run(line, ending, text)
            row.append(f"{'ok' if good else 'WRONG'} {took:5.2f} s")
            if options.output:
                print(output, errors)
            if not good:
                failures.append((accel, machine, name, status, output, errors))
        print(f"{name:52}" + " ".join(f"{cell:>16}" for cell in row), flush=True)
    for accel, machine, name, status, output, errors in failures:
        print(f"\n{accel}/{machine} {name}: status {status}\n{output}\n{errors}")
    sys.exit(1 if failures else 0)


main()
