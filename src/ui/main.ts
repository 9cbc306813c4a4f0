import { mount } from 'svelte';
import App from './App.svelte';
import './styles/theme.css';
import './styles/base.css';
import './styles/controls.css';

const target = document.getElementById('app')!;
target.replaceChildren();
mount(App, { target });
