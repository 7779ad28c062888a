// Included by opcache and not used: there is no memory shared between processes.
