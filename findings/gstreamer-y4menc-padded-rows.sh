#!/bin/sh
# Finding: y4menc of GStreamer 1.22.0 (Debian 12) writes rows with the padding of its buffers and does not say so.
#
# - A picture of 322x242 in I420 has 116,886 bytes a frame in YUV4MPEG2; y4menc writes 118,096: luma rows of 324
#   bytes, chroma rows of 164. The header says W322 H242 all the same.
# - An interlaced stream is always marked Ib (bottom field first), also with field-order=top-field-first.
#
# Needs Debian 12 with apt-get, dpkg-deb and python3. Installs nothing: unpacks pinned packages into a temporary folder.
# Prints version and output; fails when the behaviour has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 .
apt-get download -q \
    gstreamer1.0-tools=1.22.0-2+deb12u1 libgstreamer1.0-0=1.22.0-2+deb12u1 \
    gstreamer1.0-plugins-base=1.22.0-3+deb12u7 libgstreamer-plugins-base1.0-0=1.22.0-3+deb12u7 \
    gstreamer1.0-plugins-good=1.22.0-5+deb12u4 \
    liborc-0.4-0 libglib2.0-0 libdw1 libunwind8 libelf1 libpcre2-8-0 >/dev/null 2>&1
for package in *.deb; do
    dpkg-deb -x "$package" root
done
libraries=root/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH="$folder/$libraries:$folder/root/lib/x86_64-linux-gnu"
# The others want libraries that are not unpacked.
mkdir plugins
cp $libraries/gstreamer-1.0/libgstcoreelements.so $libraries/gstreamer-1.0/libgstvideotestsrc.so \
    $libraries/gstreamer-1.0/libgsty4menc.so plugins
export GST_PLUGIN_PATH="$folder/plugins" GST_PLUGIN_SYSTEM_PATH= GST_REGISTRY="$folder/registry"
export GST_PLUGIN_SCANNER="$folder/$libraries/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner"
launch() {
    root/usr/bin/gst-launch-1.0 -q "$@" 2>/dev/null
}
root/usr/bin/gst-launch-1.0 --version | tail -n +2 | head -n 1
caps=video/x-raw,format=I420,width=322,height=242,framerate=10/1
launch videotestsrc num-buffers=2 ! $caps ! y4menc ! filesink location=progressive.y4m
launch videotestsrc num-buffers=2 ! $caps,interlace-mode=interleaved,field-order=top-field-first ! y4menc ! \
    filesink location=interlaced.y4m
python3 - <<'END'
def stream(name):
    header, _, rest = open(name, "rb").read().partition(b"\n")
    frames = [len(frame) for frame in rest.split(b"FRAME\n")[1:]]
    print(name, header.decode(), frames)
    return header.decode().split(), frames

width, height = 322, 242
packed = width * height + 2 * (width // 2) * (height // 2)
print("a frame without padding has", packed, "bytes")
header, frames = stream("progressive.y4m")
assert "W322" in header and "H242" in header and "Ip" in header, header
assert frames == [118096, 118096] and packed == 116886, frames
header, frames = stream("interlaced.y4m")
assert "Ib" in header, header
print("as found: rows are padded without a mark, top field first is marked Ib")
END
