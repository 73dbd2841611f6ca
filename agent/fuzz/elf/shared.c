// gcc -O2 -shared -fPIC -nostdlib -Wl,-z,norelro -Wl,-z,noseparate-code shared.c
int SSL_read(void*s,void*b,int n){return n;} int SSL_write(void*s,const void*b,int n){return n;}
int SSL_read_ex(void*s,void*b,unsigned long n,unsigned long*r){*r=n;return 1;} int SSL_write_ex(void*s,const void*b,unsigned long n,unsigned long*r){*r=n;return 1;}
int SSL_do_handshake(void*s){return 1;} int SSL_shutdown(void*s){return 1;} int SSL_connect(void*s){return 1;} int SSL_accept(void*s){return 1;}
const char v[]="OpenSSL 3.0.15 3 Sep 2024";
