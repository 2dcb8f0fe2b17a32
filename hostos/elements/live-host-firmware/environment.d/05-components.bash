export DIB_DEBIAN_COMPONENTS=main,non-free-firmware
