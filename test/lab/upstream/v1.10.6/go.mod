module kubebundle.test/upstream/kubernetes

go 1.16

require (
	k8s.io/api v0.0.0
	k8s.io/apiextensions-apiserver v0.0.0
	k8s.io/apimachinery v0.0.0
	k8s.io/apiserver v0.0.0
	k8s.io/client-go v0.0.0
	k8s.io/kube-aggregator v0.0.0
	k8s.io/metrics v0.0.0
	k8s.io/kubernetes v0.0.0
	bitbucket.org/ww/goautoneg v0.0.0
	cloud.google.com/go v0.0.0
	github.com/Azure/azure-sdk-for-go v0.0.0
	github.com/Azure/go-ansiterm v0.0.0
	github.com/Azure/go-autorest v0.0.0
	github.com/MakeNowJust/heredoc v0.0.0
	github.com/NYTimes/gziphandler v0.0.0
	github.com/Nvveen/Gotty v0.0.0
	github.com/PuerkitoBio/purell v0.0.0
	github.com/PuerkitoBio/urlesc v0.0.0
	github.com/abbot/go-http-auth v0.0.0
	github.com/appc/spec v0.0.0
	github.com/armon/circbuf v0.0.0
	github.com/asaskevich/govalidator v0.0.0
	github.com/aws/aws-sdk-go v0.0.0
	github.com/beorn7/perks v0.0.0
	github.com/blang/semver v0.0.0
	github.com/chai2010/gettext-go v0.0.0
	github.com/cloudflare/cfssl v0.0.0
	github.com/clusterhq/flocker-go v0.0.0
	github.com/codedellemc/goscaleio v0.0.0
	github.com/container-storage-interface/spec v0.0.0
	github.com/containerd/console v0.0.0
	github.com/containerd/containerd v0.0.0
	github.com/containernetworking/cni v0.0.0
	github.com/coreos/etcd v0.0.0
	github.com/coreos/go-oidc v0.0.0
	github.com/coreos/go-semver v0.0.0
	github.com/coreos/go-systemd v0.0.0
	github.com/coreos/pkg v0.0.0
	github.com/coreos/rkt v0.0.0
	github.com/cyphar/filepath-securejoin v0.0.0
	github.com/d2g/dhcp4 v0.0.0
	github.com/d2g/dhcp4client v0.0.0
	github.com/davecgh/go-spew v0.0.0
	github.com/daviddengcn/go-colortext v0.0.0
	github.com/dchest/safefile v0.0.0
	github.com/dgrijalva/jwt-go v0.0.0
	github.com/docker/distribution v0.0.0
	github.com/docker/docker v0.0.0
	github.com/docker/go-connections v0.0.0
	github.com/docker/go-units v0.0.0
	github.com/docker/libnetwork v0.0.0
	github.com/docker/libtrust v0.0.0
	github.com/docker/spdystream v0.0.0
	github.com/elazarl/go-bindata-assetfs v0.0.0
	github.com/elazarl/goproxy v0.0.0
	github.com/emicklei/go-restful v0.0.0
	github.com/emicklei/go-restful-swagger12 v0.0.0
	github.com/euank/go-kmsg-parser v0.0.0
	github.com/evanphx/json-patch v0.0.0
	github.com/exponent-io/jsonpath v0.0.0
	github.com/fatih/camelcase v0.0.0
	github.com/fsnotify/fsnotify v0.0.0
	github.com/ghodss/yaml v0.0.0
	github.com/go-ini/ini v0.0.0
	github.com/go-openapi/analysis v0.0.0
	github.com/go-openapi/errors v0.0.0
	github.com/go-openapi/jsonpointer v0.0.0
	github.com/go-openapi/jsonreference v0.0.0
	github.com/go-openapi/loads v0.0.0
	github.com/go-openapi/runtime v0.0.0
	github.com/go-openapi/spec v0.0.0
	github.com/go-openapi/strfmt v0.0.0
	github.com/go-openapi/swag v0.0.0
	github.com/go-openapi/validate v0.0.0
	github.com/godbus/dbus v0.0.0
	github.com/gogo/protobuf v0.0.0
	github.com/golang/glog v0.0.0
	github.com/golang/groupcache v0.0.0
	github.com/golang/protobuf v0.0.0
	github.com/google/btree v0.0.0
	github.com/google/cadvisor v0.0.0
	github.com/google/certificate-transparency-go v0.0.0
	github.com/google/gofuzz v0.0.0
	github.com/googleapis/gnostic v0.0.0
	github.com/gophercloud/gophercloud v0.0.0
	github.com/gorilla/websocket v0.0.0
	github.com/gregjones/httpcache v0.0.0
	github.com/grpc-ecosystem/go-grpc-prometheus v0.0.0
	github.com/grpc-ecosystem/grpc-gateway v0.0.0
	github.com/hashicorp/golang-lru v0.0.0
	github.com/hawkular/hawkular-client-go v0.0.0
	github.com/heketi/heketi v0.0.0
	github.com/howeyc/gopass v0.0.0
	github.com/imdario/mergo v0.0.0
	github.com/inconshreveable/mousetrap v0.0.0
	github.com/influxdata/influxdb v0.0.0
	github.com/jmespath/go-jmespath v0.0.0
	github.com/jonboulle/clockwork v0.0.0
	github.com/json-iterator/go v0.0.0
	github.com/kardianos/osext v0.0.0
	github.com/kr/fs v0.0.0
	github.com/kr/pty v0.0.0
	github.com/libopenstorage/openstorage v0.0.0
	github.com/lpabon/godbc v0.0.0
	github.com/mailru/easyjson v0.0.0
	github.com/marstr/guid v0.0.0
	github.com/matttproud/golang_protobuf_extensions v0.0.0
	github.com/mholt/caddy v0.0.0
	github.com/mindprince/gonvml v0.0.0
	github.com/mistifyio/go-zfs v0.0.0
	github.com/mitchellh/go-wordwrap v0.0.0
	github.com/mitchellh/mapstructure v0.0.0
	github.com/modern-go/concurrent v0.0.0
	github.com/modern-go/reflect2 v0.0.0
	github.com/mohae/deepcopy v0.0.0
	github.com/mrunalp/fileutils v0.0.0
	github.com/mxk/go-flowrate v0.0.0
	github.com/opencontainers/go-digest v0.0.0
	github.com/opencontainers/image-spec v0.0.0
	github.com/opencontainers/runc v0.0.0
	github.com/opencontainers/runtime-spec v0.0.0
	github.com/opencontainers/selinux v0.0.0
	github.com/pborman/uuid v0.0.0
	github.com/peterbourgon/diskv v0.0.0
	github.com/pkg/errors v0.0.0
	github.com/pkg/sftp v0.0.0
	github.com/pquerna/cachecontrol v0.0.0
	github.com/prometheus/client_golang v0.0.0
	github.com/prometheus/client_model v0.0.0
	github.com/prometheus/common v0.0.0
	github.com/prometheus/procfs v0.0.0
	github.com/quobyte/api v0.0.0
	github.com/rancher/go-rancher v0.0.0
	github.com/renstrom/dedent v0.0.0
	github.com/robfig/cron v0.0.0
	github.com/rubiojr/go-vhd v0.0.0
	github.com/russross/blackfriday v0.0.0
	github.com/satori/go.uuid v0.0.0
	github.com/seccomp/libseccomp-golang v0.0.0
	github.com/shurcooL/sanitized_anchor_name v0.0.0
	github.com/sirupsen/logrus v0.0.0
	github.com/spf13/afero v0.0.0
	github.com/spf13/cobra v0.0.0
	github.com/spf13/pflag v0.0.0
	github.com/storageos/go-api v0.0.0
	github.com/syndtr/gocapability v0.0.0
	github.com/ugorji/go/codec v0.0.0
	github.com/vishvananda/netlink v0.0.0
	github.com/vishvananda/netns v0.0.0
	github.com/vmware/govmomi v0.0.0
	github.com/vmware/photon-controller-go-sdk v0.0.0
	github.com/xanzy/go-cloudstack v0.0.0
	github.com/xlab/handysort v0.0.0
	go4.org v0.0.0
	golang.org/x/crypto v0.0.0
	golang.org/x/exp v0.0.0
	golang.org/x/net v0.0.0
	golang.org/x/oauth2 v0.0.0
	golang.org/x/sys v0.0.0
	golang.org/x/text v0.0.0
	golang.org/x/time v0.0.0
	golang.org/x/tools v0.0.0
	google.golang.org/api v0.0.0
	google.golang.org/genproto v0.0.0
	google.golang.org/grpc v0.0.0
	gopkg.in/gcfg.v1 v1.0.0
	gopkg.in/inf.v0 v0.0.0
	gopkg.in/natefinch/lumberjack.v2 v2.0.0
	gopkg.in/square/go-jose.v2 v2.0.0
	gopkg.in/warnings.v0 v0.0.0
	gopkg.in/yaml.v2 v2.0.0
	k8s.io/gengo v0.0.0
	k8s.io/heapster v0.0.0
	k8s.io/kube-openapi v0.0.0
	k8s.io/utils v0.0.0
	vbom.ml/util v0.0.0
)

replace (
	k8s.io/api => ./_src/api
	k8s.io/apiextensions-apiserver => ./_src/apiextensions-apiserver
	k8s.io/apimachinery => ./_src/apimachinery
	k8s.io/apiserver => ./_src/apiserver
	k8s.io/client-go => ./_src/client-go
	k8s.io/kube-aggregator => ./_src/kube-aggregator
	k8s.io/metrics => ./_src/metrics
	k8s.io/kubernetes => ./_src/kubernetes
	bitbucket.org/ww/goautoneg => github.com/munnerz/goautoneg v0.0.0-20120707110453-a547fc61f48d
	cloud.google.com/go => cloud.google.com/go v0.0.0-20160913182117-3b1ae45394a2
	github.com/Azure/azure-sdk-for-go => github.com/Azure/azure-sdk-for-go v12.4.0-beta+incompatible
	github.com/Azure/go-ansiterm => github.com/Azure/go-ansiterm v0.0.0-20170629204627-19f72df4d05d
	github.com/Azure/go-autorest => github.com/Azure/go-autorest v9.9.0+incompatible
	github.com/MakeNowJust/heredoc => github.com/MakeNowJust/heredoc v0.0.0-20170808103936-bb23615498cd
	github.com/NYTimes/gziphandler => github.com/NYTimes/gziphandler v0.0.0-20170623195520-56545f4a5d46
	github.com/Nvveen/Gotty => github.com/Nvveen/Gotty v0.0.0-20120604004816-cd527374f1e5
	github.com/PuerkitoBio/purell => github.com/PuerkitoBio/purell v1.0.0
	github.com/PuerkitoBio/urlesc => github.com/PuerkitoBio/urlesc v0.0.0-20160726150825-5bd2802263f2
	github.com/abbot/go-http-auth => github.com/abbot/go-http-auth v0.0.0-20140618235127-c0ef4539dfab
	github.com/appc/spec => github.com/appc/spec v0.8.11
	github.com/armon/circbuf => github.com/armon/circbuf v0.0.0-20150827004946-bbbad097214e
	github.com/asaskevich/govalidator => github.com/asaskevich/govalidator v0.0.0-20160715170612-593d64559f76
	github.com/aws/aws-sdk-go => github.com/aws/aws-sdk-go v1.12.7
	github.com/beorn7/perks => github.com/beorn7/perks v0.0.0-20160229213445-3ac7bf7a47d1
	github.com/blang/semver => github.com/blang/semver v3.5.0+incompatible
	github.com/chai2010/gettext-go => github.com/chai2010/gettext-go v0.0.0-20160711120539-c6fed771bfd5
	github.com/cloudflare/cfssl => github.com/cloudflare/cfssl v0.0.0-20180223231731-4e2dcbde5004
	github.com/clusterhq/flocker-go => github.com/clusterhq/flocker-go v0.0.0-20160920122132-2b8b7259d313
	github.com/codedellemc/goscaleio => github.com/codedellemc/goscaleio v0.0.0-20170830184815-20e2ce2cf885
	github.com/container-storage-interface/spec => github.com/container-storage-interface/spec v0.2.0
	github.com/containerd/console => github.com/containerd/console v0.0.0-20170925154832-84eeaae905fa
	github.com/containerd/containerd => github.com/containerd/containerd v1.0.0-beta.3
	github.com/containernetworking/cni => github.com/containernetworking/cni v0.6.0
	github.com/coreos/etcd => github.com/coreos/etcd v3.3.13+incompatible
	github.com/coreos/go-oidc => github.com/coreos/go-oidc v0.0.0-20180117170138-065b426bd416
	github.com/coreos/go-semver => github.com/coreos/go-semver v0.0.0-20150304020126-568e959cd898
	github.com/coreos/go-systemd => github.com/coreos/go-systemd v0.0.0-20161114122254-48702e0da86b
	github.com/coreos/pkg => github.com/coreos/pkg v0.0.0-20160620232715-fa29b1d70f0b
	github.com/coreos/rkt => github.com/coreos/rkt v1.25.0
	github.com/cyphar/filepath-securejoin => github.com/cyphar/filepath-securejoin v0.0.0-20170720062807-ae69057f2299
	github.com/d2g/dhcp4 => github.com/d2g/dhcp4 v0.0.0-20170904100407-a1d1b6c41b1c
	github.com/d2g/dhcp4client => github.com/d2g/dhcp4client v0.0.0-20170829104524-6e570ed0a266
	github.com/davecgh/go-spew => github.com/davecgh/go-spew v0.0.0-20170626231645-782f4967f2dc
	github.com/daviddengcn/go-colortext => github.com/daviddengcn/go-colortext v0.0.0-20160507010035-511bcaf42ccd
	github.com/dchest/safefile => github.com/dchest/safefile v0.0.0-20151022103144-855e8d98f185
	github.com/dgrijalva/jwt-go => github.com/dgrijalva/jwt-go v0.0.0-20160705203006-01aeca54ebda
	github.com/docker/distribution => github.com/docker/distribution v0.0.0-20170726174610-edc3ab29cdff
	github.com/docker/docker => github.com/docker/docker v0.0.0-20170731201938-4f3616fb1c11
	github.com/docker/go-connections => github.com/docker/go-connections v0.3.0
	github.com/docker/go-units => github.com/docker/go-units v0.0.0-20170127094116-9e638d38cf69
	github.com/docker/libnetwork => github.com/docker/libnetwork v0.0.0-20170905174201-ba46b9284449
	github.com/docker/libtrust => github.com/docker/libtrust v0.0.0-20150526203908-9cbd2a1374f4
	github.com/docker/spdystream => github.com/docker/spdystream v0.0.0-20160310174837-449fdfce4d96
	github.com/elazarl/go-bindata-assetfs => github.com/elazarl/go-bindata-assetfs v0.0.0-20150624150248-3dcc96556217
	github.com/elazarl/goproxy => github.com/elazarl/goproxy v0.0.0-20170405201442-c4fc26588b6e
	github.com/emicklei/go-restful => github.com/emicklei/go-restful v0.0.0-20170410110728-ff4f55a20633
	github.com/emicklei/go-restful-swagger12 => github.com/emicklei/go-restful-swagger12 v0.0.0-20170208215640-dcef7f557305
	github.com/euank/go-kmsg-parser => github.com/euank/go-kmsg-parser v2.0.0+incompatible
	github.com/evanphx/json-patch => github.com/evanphx/json-patch v4.2.0+incompatible
	github.com/exponent-io/jsonpath => github.com/exponent-io/jsonpath v0.0.0-20151013193312-d6023ce2651d
	github.com/fatih/camelcase => github.com/fatih/camelcase v0.0.0-20160318181535-f6a740d52f96
	github.com/fsnotify/fsnotify => github.com/fsnotify/fsnotify v0.0.0-20160816051541-f12c6236fe7b
	github.com/ghodss/yaml => github.com/ghodss/yaml v0.0.0-20150909031657-73d445a93680
	github.com/go-ini/ini => github.com/go-ini/ini v1.25.4
	github.com/go-openapi/analysis => github.com/go-openapi/analysis v0.0.0-20160815203709-b44dc874b601
	github.com/go-openapi/errors => github.com/go-openapi/errors v0.0.0-20160704190347-d24ebc2075ba
	github.com/go-openapi/jsonpointer => github.com/go-openapi/jsonpointer v0.0.0-20160704185906-46af16f9f7b1
	github.com/go-openapi/jsonreference => github.com/go-openapi/jsonreference v0.0.0-20160704190145-13c6e3589ad9
	github.com/go-openapi/loads => github.com/go-openapi/loads v0.0.0-20170520182102-a80dea3052f0
	github.com/go-openapi/runtime => github.com/go-openapi/runtime v0.0.0-20160704190703-11e322eeecc1
	github.com/go-openapi/spec => github.com/go-openapi/spec v0.0.0-20180213232550-1de3e0542de6
	github.com/go-openapi/strfmt => github.com/go-openapi/strfmt v0.0.0-20160812050534-d65c7fdb29ec
	github.com/go-openapi/swag => github.com/go-openapi/swag v0.0.0-20170606142751-f3f9494671f9
	github.com/go-openapi/validate => github.com/go-openapi/validate v0.0.0-20171117174350-d509235108fc
	github.com/godbus/dbus => github.com/godbus/dbus v0.0.0-20151105175453-c7fdd8b5cd55
	github.com/gogo/protobuf => github.com/gogo/protobuf v0.0.0-20170330071051-c0656edd0d9e
	github.com/golang/glog => github.com/golang/glog v0.0.0-20141105023935-44145f04b68c
	github.com/golang/groupcache => github.com/golang/groupcache v0.0.0-20160516000752-02826c3e7903
	github.com/golang/protobuf => github.com/golang/protobuf v0.0.0-20171021043952-1643683e1b54
	github.com/google/btree => github.com/google/btree v0.0.0-20160524151835-7d79101e329e
	github.com/google/cadvisor => github.com/google/cadvisor v0.29.1
	github.com/google/certificate-transparency-go => github.com/google/certificate-transparency-go v1.0.10
	github.com/google/gofuzz => github.com/google/gofuzz v0.0.0-20161122191042-44d81051d367
	github.com/googleapis/gnostic => github.com/googleapis/gnostic v0.0.0-20170729233727-0c5108395e2d
	github.com/gophercloud/gophercloud => github.com/gophercloud/gophercloud v0.0.0-20180210024343-6da026c32e2d
	github.com/gorilla/websocket => github.com/gorilla/websocket v0.0.0-20150714140627-6eb6ad425a89
	github.com/gregjones/httpcache => github.com/gregjones/httpcache v0.0.0-20170728041850-787624de3eb7
	github.com/grpc-ecosystem/go-grpc-prometheus => github.com/grpc-ecosystem/go-grpc-prometheus v0.0.0-20170330212424-2500245aa611
	github.com/grpc-ecosystem/grpc-gateway => github.com/grpc-ecosystem/grpc-gateway v1.3.0
	github.com/hashicorp/golang-lru => github.com/hashicorp/golang-lru v0.0.0-20160207214719-a0d98a5f2880
	github.com/hawkular/hawkular-client-go => ./stubs/hawkular
	github.com/heketi/heketi => github.com/heketi/heketi v0.0.0-20170623005005-aaf40619d85f
	github.com/howeyc/gopass => github.com/howeyc/gopass v0.0.0-20170109162249-bf9dde6d0d2c
	github.com/imdario/mergo => github.com/imdario/mergo v0.0.0-20141206190957-6633656539c1
	github.com/inconshreveable/mousetrap => github.com/inconshreveable/mousetrap v1.0.0
	github.com/influxdata/influxdb => github.com/influxdata/influxdb v1.1.1
	github.com/jmespath/go-jmespath => github.com/jmespath/go-jmespath v0.0.0-20160202185014-0b12d6b521d8
	github.com/jonboulle/clockwork => github.com/jonboulle/clockwork v0.0.0-20141017032234-72f9bd7c4e0c
	github.com/json-iterator/go => github.com/json-iterator/go v0.0.0-20180612202835-f2b4162afba3
	github.com/kardianos/osext => github.com/kardianos/osext v0.0.0-20150410034420-8fef92e41e22
	github.com/kr/fs => github.com/kr/fs v0.0.0-20131111012553-2788f0dbd169
	github.com/kr/pty => github.com/kr/pty v0.0.0-20151007230424-f7ee69f31298
	github.com/libopenstorage/openstorage => github.com/libopenstorage/openstorage v0.0.0-20170906232338-093a0c388875
	github.com/lpabon/godbc => github.com/lpabon/godbc v0.0.0-20140613165803-9577782540c1
	github.com/mailru/easyjson => github.com/mailru/easyjson v0.0.0-20170624190925-2f5df55504eb
	github.com/marstr/guid => github.com/marstr/guid v0.0.0-20170427235115-8bdf7d1a087c
	github.com/matttproud/golang_protobuf_extensions => github.com/matttproud/golang_protobuf_extensions v1.0.1
	github.com/mholt/caddy => github.com/mholt/caddy v0.0.0-20180213163048-2de495001514
	github.com/mindprince/gonvml => github.com/mindprince/gonvml v0.0.0-20190828220739-9ebdce4bb989
	github.com/mistifyio/go-zfs => github.com/mistifyio/go-zfs v0.0.0-20151009155749-1b4ae6fb4e77
	github.com/mitchellh/go-wordwrap => github.com/mitchellh/go-wordwrap v0.0.0-20150314170334-ad45545899c7
	github.com/mitchellh/mapstructure => github.com/mitchellh/mapstructure v0.0.0-20170307201123-53818660ed49
	github.com/modern-go/concurrent => github.com/modern-go/concurrent v0.0.0-20180306012644-bacd9c7ef1dd
	github.com/modern-go/reflect2 => github.com/modern-go/reflect2 v1.0.2
	github.com/mohae/deepcopy => github.com/mohae/deepcopy v0.0.0-20170603005431-491d3605edfb
	github.com/mrunalp/fileutils => github.com/mrunalp/fileutils v0.0.0-20160930181131-4ee1cc9a8058
	github.com/mxk/go-flowrate => github.com/mxk/go-flowrate v0.0.0-20140419014527-cca7078d478f
	github.com/opencontainers/go-digest => github.com/opencontainers/go-digest v0.0.0-20170106003457-a6d0ee40d420
	github.com/opencontainers/image-spec => github.com/opencontainers/image-spec v0.0.0-20170604055404-372ad780f634
	github.com/opencontainers/runc => github.com/opencontainers/runc v0.0.0-20180424185634-871ba2e58e24
	github.com/opencontainers/runtime-spec => github.com/opencontainers/runtime-spec v1.0.0
	github.com/opencontainers/selinux => github.com/opencontainers/selinux v0.0.0-20170621221121-4a2974bf1ee9
	github.com/pborman/uuid => github.com/pborman/uuid v0.0.0-20150603214016-ca53cad383ca
	github.com/peterbourgon/diskv => github.com/peterbourgon/diskv v2.0.1+incompatible
	github.com/pkg/errors => github.com/pkg/errors v0.8.0
	github.com/pkg/sftp => github.com/pkg/sftp v0.0.0-20160930220758-4d0e916071f6
	github.com/pquerna/cachecontrol => github.com/pquerna/cachecontrol v0.0.0-20171018203845-0dec1b30a021
	github.com/prometheus/client_golang => github.com/prometheus/client_golang v0.0.0-20170531130054-e7e903064f5e
	github.com/prometheus/client_model => github.com/prometheus/client_model v0.0.0-20150212101744-fa8ad6fec335
	github.com/prometheus/common => github.com/prometheus/common v0.0.0-20170427095455-13ba4ddd0caa
	github.com/prometheus/procfs => github.com/prometheus/procfs v0.0.0-20170519190837-65c1f6f8f0fc
	github.com/quobyte/api => github.com/quobyte/api v0.1.2
	github.com/rancher/go-rancher => github.com/rancher/go-rancher v0.0.0-20160922212217-09693a8743ba
	github.com/renstrom/dedent => github.com/renstrom/dedent v0.0.0-20150819195903-020d11c3b9c0
	github.com/robfig/cron => github.com/robfig/cron v0.0.0-20170309132418-df38d32658d8
	github.com/rubiojr/go-vhd => github.com/rubiojr/go-vhd v0.0.0-20160810183302-0bfd3b39853c
	github.com/russross/blackfriday => github.com/russross/blackfriday v0.0.0-20151117072312-300106c228d5
	github.com/satori/go.uuid => github.com/satori/go.uuid v1.2.0
	github.com/seccomp/libseccomp-golang => github.com/seccomp/libseccomp-golang v0.0.0-20150813023252-1b506fc7c24e
	github.com/shurcooL/sanitized_anchor_name => github.com/shurcooL/sanitized_anchor_name v0.0.0-20151028001915-10ef21a441db
	github.com/sirupsen/logrus => github.com/sirupsen/logrus v0.0.0-20170822132746-89742aefa4b2
	github.com/spf13/afero => github.com/spf13/afero v0.0.0-20160816080757-b28a7effac97
	github.com/spf13/cobra => github.com/spf13/cobra v0.0.0-20180228053838-6644d46b81fa
	github.com/spf13/pflag => github.com/spf13/pflag v1.0.1
	github.com/storageos/go-api => github.com/storageos/go-api v0.0.0-20180126153955-3a4032328d99
	github.com/syndtr/gocapability => github.com/syndtr/gocapability v0.0.0-20160928074757-e7cb7fa329f4
	github.com/ugorji/go/codec => github.com/ugorji/go/codec v1.2.12
	github.com/vishvananda/netlink => github.com/vishvananda/netlink v0.0.0-20171128170821-f67b75edbf5e
	github.com/vishvananda/netns => github.com/vishvananda/netns v0.0.0-20171111001504-be1fbeda1936
	github.com/vmware/govmomi => github.com/vmware/govmomi v0.17.0
	github.com/vmware/photon-controller-go-sdk => github.com/vmware/photon-controller-go-sdk v0.0.0-20170310013346-4a435daef6cc
	github.com/xanzy/go-cloudstack => github.com/xanzy/go-cloudstack v0.0.0-20160728180336-1e2cbf647e57
	github.com/xlab/handysort => github.com/xlab/handysort v0.0.0-20150421192137-fb3537ed64a1
	go4.org => go4.org v0.0.0-20160314031811-03efcb870d84
	golang.org/x/crypto => golang.org/x/crypto v0.0.0-20180222182404-49796115aa4b
	golang.org/x/exp => golang.org/x/exp v0.0.0-20160623011055-292a51b8d262
	golang.org/x/net => golang.org/x/net v0.0.0-20170809000501-1c05540f6879
	golang.org/x/oauth2 => golang.org/x/oauth2 v0.0.0-20170412232759-a6bd8cefa181
	golang.org/x/sys => golang.org/x/sys v0.0.0-20171031081856-95c657629925
	golang.org/x/text => golang.org/x/text v0.0.0-20170810154203-b19bf474d317
	golang.org/x/time => golang.org/x/time v0.0.0-20161028155119-f51c12702a4d
	golang.org/x/tools => golang.org/x/tools v0.0.0-20170428054726-2382e3994d48
	google.golang.org/api => google.golang.org/api v0.0.0-20180603000442-8e296ef26005
	google.golang.org/genproto => google.golang.org/genproto v0.0.0-20170731182057-09f6ed296fc6
	google.golang.org/grpc => google.golang.org/grpc v1.7.5
	gopkg.in/gcfg.v1 => gopkg.in/gcfg.v1 v1.2.0
	gopkg.in/inf.v0 => gopkg.in/inf.v0 v0.9.0
	gopkg.in/natefinch/lumberjack.v2 => gopkg.in/natefinch/lumberjack.v2 v2.0.0-20150622162204-20b71e5b60d7
	gopkg.in/square/go-jose.v2 => gopkg.in/square/go-jose.v2 v2.1.3
	gopkg.in/warnings.v0 => gopkg.in/warnings.v0 v0.1.1
	gopkg.in/yaml.v2 => gopkg.in/yaml.v2 v2.0.0-20170721113624-670d4cfef054
	k8s.io/gengo => k8s.io/gengo v0.0.0-20180612161529-dcbe4570f0cf
	k8s.io/heapster => k8s.io/heapster v1.2.0-beta.1
	k8s.io/kube-openapi => k8s.io/kube-openapi v0.0.0-20180509051136-39cb288412c4
	k8s.io/utils => k8s.io/utils v0.0.0-20171122000934-aedf551cdb8b
	vbom.ml/util => github.com/fvbommel/util v0.0.0-20160121211510-db5cfe13f5cc
)
