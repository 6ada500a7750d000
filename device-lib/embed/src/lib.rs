//! Files compiled into the image
