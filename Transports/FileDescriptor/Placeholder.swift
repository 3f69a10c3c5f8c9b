// The first file of this target; replaced by its connector and listener.
