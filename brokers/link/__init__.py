"""The link to a broker over the internet: HTTP and sockets that know what may have left."""
