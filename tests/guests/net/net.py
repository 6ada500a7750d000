#!/usr/bin/env python3
"""Boots net on each machine under each accelerator and talks to it: over QEMU's user network
(a page, DHCP, both entropy sources), and, as root, over a TAP device in a network namespace
of its own (ping, 1,000 connections at once, connections aborted at every stage, UDP).
Usage: net.py [--image ELF] [--accel kvm,tcg] [--machine microvm,microvm-pcie,q35] [--no-tap] [--wrk]"""

import argparse
import contextlib
import os
import re
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MACHINES = {
    "microvm": (["-M", "microvm,rtc=off,pic=off,pit=off,acpi=off"], "device"),
    "microvm-pcie": (["-M", "microvm,pcie=on,rtc=off,pic=off,pit=off", "-bios", "qboot.rom"], "pci"),
    "q35": (["-M", "q35"], "pci"),
}
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
ANSWER = 41 + 1024  # head and body
GUEST = "10.0.0.2"


@contextlib.contextmanager
def guest(image, accel, machine, netdev, boot_line="", prefix=()):
    """A running guest; gives its console once it says that it is ready."""
    machine, bus = MACHINES[machine]
    extra = ",disable-legacy=on" if bus == "pci" else ""
    line = [*prefix, "qemu-system-x86_64", "-accel", accel, "-m", "16", "-kernel", image, *machine]
    line += ["-cpu", "max,-arch-capabilities" if accel == "kvm" else "max", "-append", boot_line]
    line += ["-global", "virtio-mmio.force-legacy=false", "-nodefaults", "-no-user-config"]
    line += ["-nographic", "-serial", "stdio", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    if netdev:
        line += ["-netdev", netdev + ",id=n0", "-device", f"virtio-net-{bus},netdev=n0{extra}"]
    if "rng=virtio" in boot_line:
        line += ["-object", "rng-random,id=r0,filename=/dev/urandom", "-device", f"virtio-rng-{bus},rng=r0{extra}"]
    with tempfile.TemporaryFile("w+", errors="replace") as console:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT)

        def said():
            console.seek(0)
            return console.read()

        try:
            end = time.time() + 60
            while not re.search(r"unik: ready.*\n", said()) and process.poll() is None:
                if time.time() > end:
                    raise RuntimeError("not ready within 60 s: " + said())
                time.sleep(0.02)
            yield said
        finally:
            process.terminate()
            process.wait(10)


def get(connection):
    connection.settimeout(10)
    connection.sendall(REQUEST)
    length = 0
    while length < ANSWER:
        data = connection.recv(65536)
        if not data:
            raise RuntimeError(f"closed after {length} bytes")
        length += len(data)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def user_network(image, accel, machine):
    for boot_line in ["", "rng=virtio", "dhcp", "queue=16"]:
        port = free_port()
        netdev = f"user,net=10.0.0.0/24,host=10.0.0.1,dhcpstart={GUEST},restrict=on,hostfwd=tcp:127.0.0.1:{port}-{GUEST}:80"
        with guest(image, accel, machine, netdev, boot_line) as said:
            if f"unik: ready {GUEST}" not in said():
                raise RuntimeError(f"[{boot_line}] " + said())
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", port), 10) as connection:
                    get(connection)
    with guest(image, accel, machine, None) as said:
        if "no free virtio network device" not in said():
            raise RuntimeError("without a device: " + said())
    return "20 pages each with RDRAND, virtio-rng, DHCP, 16 descriptors; a clear error without a device"


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def parallel(count):
    connections = [socket.socket() for _ in range(count)]
    waiting = selectors.DefaultSelector()
    for connection in connections:
        connection.setblocking(False)
        connection.connect_ex((GUEST, 80))
        waiting.register(connection, selectors.EVENT_WRITE)
    left, end = count, time.time() + 60
    while left and time.time() < end:
        for key, _ in waiting.select(1):
            error = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise RuntimeError("connect: " + os.strerror(error))
            waiting.unregister(key.fileobj)
            left -= 1
    for connection in connections:
        get(connection)
    for connection in connections:
        connection.close()


def storm(count):
    """Connections that are aborted at every stage."""
    for number in range(count):
        connection = socket.socket()
        stage = number % 6
        if stage == 0:
            connection.setblocking(False)
            connection.connect_ex((GUEST, 80))
            reset(connection)
            continue
        connection.settimeout(20)
        connection.connect((GUEST, 80))
        if stage in (2, 3):
            connection.sendall(REQUEST[:5] if stage == 2 else REQUEST * 20)
        elif stage == 4:
            connection.sendall(REQUEST)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(100)
        elif stage == 5:
            connection.sendall(REQUEST)
            connection.close()
            continue
        reset(connection)


def datagrams(count):
    client, out, back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0, 0
    client.settimeout(5)
    while back < count:
        while out - back < 64 and out < count:
            client.sendto(b"x" * 64, (GUEST, 7))
            out += 1
        client.recv(100)
        back += 1


def clients(wrk):
    """What runs inside the namespace."""
    ping = subprocess.run(["ping", "-q", "-c", "20", "-i", "0.02", GUEST], capture_output=True, text=True)
    if " 0% packet loss" not in ping.stdout:
        raise RuntimeError(ping.stdout)
    parallel(1000)
    storm(3000)
    parallel(1000)
    # The namespace's queue still holds the ends of a thousand connections.
    time.sleep(0.5)
    datagrams(20000)
    with socket.create_connection((GUEST, 80), 10) as connection:
        get(connection)
    done = "ping, 1,000 at once twice, 3,000 aborts, 20,000 datagrams"
    if wrk:
        for count in (1, 10, 100):
            line = ["wrk", "-t1", f"-c{count}", "-d5s", f"http://{GUEST}/"]
            output = subprocess.run(line, capture_output=True, text=True).stdout
            done += f"; c={count}: {re.search('Requests/sec: *([0-9]+)', output)[1]}/s"
    print(done)


@contextlib.contextmanager
def namespace():
    name = f"unik-net-{os.getpid()}"
    inside = ["ip", "netns", "exec", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for command in [
            ["tuntap", "add", "tap0", "mode", "tap"],
            ["address", "add", "10.0.0.1/24", "dev", "tap0"],
            # A thousand clients at once are more than the queue of a TAP device holds.
            ["link", "set", "tap0", "txqueuelen", "10000"],
            ["link", "set", "tap0", "up"],
        ]:
            subprocess.run([*inside, "ip", *command], check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def tap(image, accel, machine, wrk):
    with namespace() as inside:
        netdev = "tap,ifname=tap0,script=no,downscript=no"
        with guest(image, accel, machine, netdev, "counters", inside) as said:
            line = [*inside, sys.executable, os.path.abspath(__file__), "--inside"] + (["--wrk"] if wrk else [])
            done = subprocess.run(line, capture_output=True, text=True, timeout=300)
            if done.returncode:
                raise RuntimeError(done.stderr + said()[-2000:])
            return done.stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image")
    parser.add_argument("--accel", default="kvm,tcg" if os.access("/dev/kvm", os.W_OK) else "tcg")
    parser.add_argument("--machine", default="microvm,microvm-pcie,q35")
    parser.add_argument("--no-tap", action="store_true")
    parser.add_argument("--wrk", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return clients(options.wrk)
    image = options.image or subprocess.check_output([HERE + "/build.sh"], text=True).strip()
    failures = 0
    for accel in options.accel.split(","):
        for machine in options.machine.split(","):
            tests = [("user", lambda: user_network(image, accel, machine))]
            if os.geteuid() == 0 and not options.no_tap:
                tests.append(("tap", lambda: tap(image, accel, machine, options.wrk)))
            for name, test in tests:
                start = time.time()
                try:
                    outcome = test()
                except Exception as error:
                    failures += 1
                    outcome = f"FAILED: {type(error).__name__}: {error}"
                print(f"{accel:4} {machine:13} {name:5} {time.time() - start:5.1f} s  {outcome}", flush=True)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
