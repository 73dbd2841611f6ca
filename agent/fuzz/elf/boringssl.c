// gcc -O2 -nostdlib -static -fno-stack-protector -fcf-protection=none boringssl.c; strip, or not.
// With -static-pie -fPIE: the one at no fixed address.
typedef unsigned char u8; typedef unsigned long ul;
struct method { int (*read)(void*,void*); int (*write)(void*,void*); };
struct ssl { struct method *m; void *s3; int (*do_handshake)(void*); int state; int fatal; int quic; ul pending; int err; };
#define F "external/boringssl/ssl/ssl_lib.cc"
const char cipher[] = "ECDHE-ECDSA-CHACHA20-POLY1305";
volatile int seen; 
__attribute__((noinline)) void put(int lib,int un,int reason,const char*file,unsigned line){ seen = lib+un+reason+line+file[0]; }
__attribute__((noinline)) void clear(void){ seen=0; }
__attribute__((noinline)) void reset(struct ssl*s){ s->err=0; clear(); }
__attribute__((noinline)) int SSL_do_handshake(struct ssl*s){ reset(s); if(!s->do_handshake){put(16,0,134,F,880);return -1;} if(s->state==0) return 1; int r=s->do_handshake(s); if(r<=0){s->fatal=r;return r;} return 1; }
__attribute__((noinline)) static int read_impl(struct ssl*s){ reset(s); if(!s->do_handshake){put(16,0,226,F,1001);return -1;} while(s->pending==0){ if(s->quic){ put(16,0,66,F,1010); return -1;} int r=SSL_do_handshake(s); if(r<0) return r; if(r==0){put(16,0,215,F,1016);return -1;} r=s->m->read(s,s->s3); if(r<=0) return r; } return 1; }
__attribute__((noinline)) int SSL_peek(struct ssl*s,void*b,int n){ if(s->quic){put(16,0,66,F,1060);return -1;} int r=read_impl(s); if(r<=0) return r; if(n<=0) return n; ul k=s->pending<(ul)n?s->pending:(ul)n; u8*p=b; for(ul i=0;i<k;i++)p[i]=((u8*)s->s3)[i]; return (int)k; }
__attribute__((noinline)) int SSL_read(struct ssl*s,void*b,int n){ int r=SSL_peek(s,b,n); if(r<=0) return r; s->pending-=r; s->s3=(u8*)s->s3+r; return r; }
__attribute__((noinline)) int SSL_write(struct ssl*s,const void*b,int n){ reset(s); if(s->quic){put(16,0,66,F,1083);return -1;} if(!s->do_handshake){put(16,0,226,F,1088);return -1;} int r=0; int wrote=0; do{ if(s->state){ r=SSL_do_handshake(s); if(r<0)return r; if(r==0){put(16,0,215,F,1100);return -1;} } if(n<0){put(16,0,111,F,1106);return -1;} r=s->m->write(s,(void*)b); }while(r==2); return r<=0?r:wrote+n; }
__attribute__((noinline)) int SSL_shutdown(struct ssl*s){ reset(s); if(!s->do_handshake){put(16,0,226,F,1150);return -1;} if(s->state){put(16,0,194,F,1160); return -1;} if(s->pending){ put(16,0,291,F,1170); return -1;} return s->fatal; }
int main_(int c,char**v){ struct ssl*s=(struct ssl*)v; volatile void* q=(void*)cipher; (void)q; switch(c){case 1:return SSL_read(s,v[0],c);case 2:return SSL_write(s,v[0],c);case 3: return SSL_shutdown(s); case 4: return SSL_peek(s,v[1],c);} return 0; }
void _start(void){ extern char **environ_; main_(seen,(char**)&seen); for(;;); }
