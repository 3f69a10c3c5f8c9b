int clinux_anchor(void){return 0;}
