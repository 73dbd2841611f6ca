"""Makes nghttp2.blocks: header blocks of random fields, encoded by libnghttp2 (any version from 1.0 on); each after its length.

The fields are not written down: encoders.rs draws the same ones from the same generator."""
import ctypes as C, struct
lib=C.CDLL('libnghttp2.so.14')
class NV(C.Structure): _fields_=[('name',C.POINTER(C.c_uint8)),('value',C.POINTER(C.c_uint8)),('namelen',C.c_size_t),('valuelen',C.c_size_t),('flags',C.c_uint8)]
lib.nghttp2_hd_deflate_hd.restype=C.c_ssize_t
lib.nghttp2_hd_deflate_hd.argtypes=[C.c_void_p,C.c_void_p,C.c_size_t,C.c_void_p,C.c_size_t]
lib.nghttp2_hd_deflate_new.argtypes=[C.c_void_p,C.c_size_t]
lib.nghttp2_hd_deflate_change_table_size.argtypes=[C.c_void_p,C.c_size_t]
class R:
    def __init__(s,x): s.x=x
    def n(s,m):
        s.x=(s.x*6364136223846793005+1442695040888963407)&(2**64-1)
        return (s.x>>33)%m
NAMES=[":method",":path",":scheme",":authority",":status","user-agent","accept","cookie","x-request-id","traceparent","content-type","authorization","grpc-timeout","te","x-b3-sampled"]
def field(r):
    k=r.n(len(NAMES)+5)
    name=NAMES[k] if k<len(NAMES) else "x-%d"%r.n(40)
    vals=["GET","POST","/","/cart","https","shop.example","200","404","application/grpc","1S","trailers","gzip"]
    v=r.n(4)
    if v<2: value=vals[r.n(len(vals))].encode()
    elif v==2: value=("v%d"%r.n(30)).encode()
    else: value=bytes(33+r.n(94) for _ in range(r.n(60)))
    never=r.n(16)==0
    return name.encode(),value,never
r=R(2026); out=bytearray(); count=0
for conn in range(15):
    d=C.c_void_p(); assert lib.nghttp2_hd_deflate_new(C.byref(d),4096)==0
    for b in range(120):
        if b and r.n(20)==0:
            size=[0,64,256,1000,4096][r.n(5)]
            assert lib.nghttp2_hd_deflate_change_table_size(d,size)==0
        fs=[field(r) for _ in range(1+r.n(8))]
        nva=(NV*len(fs))(); keep=[]
        for i,(n,v,never) in enumerate(fs):
            nb=(C.c_uint8*max(1,len(n))).from_buffer_copy(n or b'\0'); vb=(C.c_uint8*max(1,len(v))).from_buffer_copy(v or b'\0'); keep+= [nb,vb]
            nva[i]=NV(C.cast(nb,C.POINTER(C.c_uint8)),C.cast(vb,C.POINTER(C.c_uint8)),len(n),len(v),1 if never else 0)
        buf=(C.c_uint8*8192)(); n=lib.nghttp2_hd_deflate_hd(d,buf,8192,nva,len(fs)); assert n>0,n
        out+=struct.pack('>H',n)+bytes(buf[:n]); count+=1
open('nghttp2.blocks','wb').write(out); print(count,len(out))
