#!/bin/sh
# Builds the guest the way codegen builds an image; prints where it is.
# Usage: [TARGET_CPU=x86-64-v3] build.sh [OUTPUT]
# Target folder: $CARGO_TARGET_DIR/bringup, else ./target.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:+$CARGO_TARGET_DIR/bringup}
target=${target:-$here/target}
mkdir -p "$target/empty"
# Empty archives: a crate that asks for libc then fails to link, instead of going dynamic.
for name in c gcc_s gcc m pthread dl rt util; do
    printf '!<arch>\n' > "$target/empty/lib$name.a"
done
cd "$here"
RUSTFLAGS="--cfg unik_machine -C target-cpu=${TARGET_CPU:-x86-64-v2} -C relocation-model=static -C linker=rust-lld -C linker-flavor=ld.lld -L native=$target/empty" \
CARGO_TARGET_DIR="$target" \
cargo rustc --release --quiet --target x86_64-unknown-linux-gnu -- \
    -C link-arg=-T"$here/../image.ld" \
    -C link-arg=-static -C link-arg=--no-dynamic-linker -C link-arg=-no-pie \
    -C link-arg=--build-id=none -C link-arg=-z -C link-arg=max-page-size=16 \
    -C link-arg=-z -C link-arg=noexecstack -C link-arg=-z -C link-arg=norelro \
    -C link-arg=--orphan-handling=error >&2
built=$target/x86_64-unknown-linux-gnu/release/bringup
if [ $# -gt 0 ]; then cp "$built" "$1"; built=$1; fi
echo "$built"
