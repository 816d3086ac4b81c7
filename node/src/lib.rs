//! The kubelet, the tables of kube-proxy and the records of cluster DNS.
